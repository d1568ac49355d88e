"""Sums over clients in one fixed order, so that workers may add up for the server without changing a bit.

A strategy that only averages (``averages = True``) gets a single reply: the weighted mean of all. Clients are summed in
blocks of five, blocks in a binary tree. Whoever has all replies below a node of that tree may add them up: a worker,
or else the server. The tree depends on who was asked and on nothing else: neither engine nor number of workers.
Every array is divided by the weights of those who sent it: a reply may lack layers.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import cast

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from torch import Tensor

from fedlayers.core.machine.devices import threads
from fedlayers.flower.adapter import make_array_record, make_message, number, records_of
from fedlayers.flower.arrays import encode, tensor_of
from fedlayers.flower.contents import ARRAYS, LACKS, METRICS, SUM

BLOCK = 5
# How many numbers of an array are summed over clients at once: what fits into a core's own cache takes half as long.
PIECE = 2**15
# Metrics of a reply that add up over clients.
COUNTS = ("num-examples", "one")

Node = tuple[int, int]
Sums = dict[str, Tensor]


def block_of(sent: Iterable[Message]) -> dict[int, int]:
    """Return node id -> block, for the nodes that messages were sent to: each five in the order of their ids."""
    nodes = sorted(message.metadata.dst_node_id for message in sent)
    return {node: place // BLOCK for place, node in enumerate(nodes)}


def weighted_mean(contents: Sequence[RecordDict], key: str) -> Sums:
    """Return the mean of the replies' arrays, weighted by one of their metrics, in float64.

    Args:
        contents: the replies, each with one ArrayRecord, which may lack arrays, and one MetricRecord, in the order in
            which they are summed.
        key: the metric that holds a reply's weight.
    """
    if len(contents) == 1:
        return {name: tensor_of(array).double() for name, array in records_of(contents[0], ArrayRecord)[ARRAYS].items()}
    weights = _weights_of_senders([(_weight(content, key), _own(content)) for content in contents])
    return {name: value.div_(weights[name]) for name, value in _weighted_sum(contents, key).items()}


def mean_of(terms: Sequence[tuple[float, Mapping[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """Return a weighted mean of sets of arrays in float64, in the order in which :func:`averaged` sums replies.

    Args:
        terms: weight and arrays, the same names in each, in the order of the nodes; at least one.
    """
    blocks = [terms[first : first + BLOCK] for first in range(0, len(terms), BLOCK)]

    def given(node: Node) -> Sums | None:
        level, place = node
        if level or place >= len(blocks):
            return None
        names = blocks[place][0][1]
        return {name: _sum([(weight, torch.from_numpy(own[name])) for weight, own in blocks[place]]) for name in names}

    with threads(1):
        total = _total(((len(blocks) - 1).bit_length(), 0), given) or {}
    weight = sum(weight for weight, _ in terms)
    return {name: value.div_(weight).numpy() for name, value in total.items()}


class WorkerSums:
    """Adds up whole blocks of replies where the clients ran, each while its arrays are still in the cache.

    Args:
        key: the metric that holds a reply's weight.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._sums: dict[int, Sums] = {}
        # Block -> its replies' contents, and which arrays each had.
        self._members: dict[int, list[tuple[RecordDict, set[str]]]] = {}

    def add(self, block: int, contents: Sequence[RecordDict]) -> None:
        """Add up a block and drop its arrays, given the contents of all its replies by node id."""
        with threads(1):
            self._sums[block] = _weighted_sum(contents, self._key)
        self._members[block] = [(content, _own(content)) for content in contents]
        for content in contents:
            del content[ARRAYS]

    def finish(self) -> None:
        """Put the sums below the highest nodes that these blocks fill into their first replies.

        A reply that lacked arrays of its sum says so.
        """
        for level, place in _highest(self._sums):
            with threads(1):
                total = _total((level, place), lambda node: self._sums.get(node[1]) if node[0] == 0 else None) or {}
            below = [member for block in range(place << level, (place + 1) << level) for member in self._members[block]]
            for content, own in below:
                if lacks := [name for name in total if name not in own]:
                    content[LACKS] = ConfigRecord({"names": lacks})
            below[0][0][f"{SUM}{level}/{place}"] = _record(total)


def averaged(replies: Sequence[Message], blocks: Mapping[int, int], key: str) -> list[Message]:
    """Return the one reply that stands for all: weighted means of arrays and metrics, and the sum of the weights.

    An array's mean is over those who sent it.

    Args:
        replies: replies without errors, by client; none gives none.
        blocks: what :func:`block_of` said of the messages that they answer.
        key: the metric that holds a reply's weight.
    """
    if not replies:
        return []
    members: dict[int, list[RecordDict]] = {}
    received: dict[Node, ArrayRecord] = {}
    for reply in replies:
        members.setdefault(blocks[reply.metadata.src_node_id], []).append(reply.content)
        for name, record in records_of(reply.content, ArrayRecord).items():
            if name.startswith(SUM):
                level, place = map(int, name.removeprefix(SUM).split("/"))
                received[level, place] = record

    def given(node: Node) -> Sums | None:
        if node in received:
            return {name: tensor_of(array) for name, array in received[node].items()}
        return _weighted_sum(members[node[1]], key) if node[0] == 0 and node[1] in members else None

    # One thread, as on the workers: threads differ in the last bits where their shares of an array end.
    with threads(1):
        total = _total((max(blocks.values()).bit_length(), 0), given) or {}
    metrics = _averaged_metrics([reply.content for reply in replies], key)
    within = {
        block: set(record)
        for (level, place), record in received.items()
        for block in range(place << level, (place + 1) << level)
    }
    weights = _weights_of_senders(
        (_weight(content, key), _sent(content, within.get(block, set())))
        for block, contents in members.items()
        for content in contents
    )
    arrays = _record({name: value / weights[name] for name, value in total.items()})
    content = RecordDict({ARRAYS: arrays, METRICS: metrics})
    return [make_message(content=content, metadata=replies[0].metadata)]


def _total(node: Node, given: Callable[[Node], Sums | None]) -> Sums | None:
    """Return the weighted sum below a node, None if nobody there replied.

    Args:
        node: the node.
        given: the sum below a node where it is known, whose tensors stay as they are, else None.
    """
    level, place = node
    found = given(node)
    if found is not None or level == 0:
        return found
    left, right = (_total((level - 1, child), given) for child in (2 * place, 2 * place + 1))
    if left is None or right is None:
        return right if left is None else left
    for name, value in right.items():
        left[name] = left[name] + value if name in left else value
    return left


def _highest(blocks: Collection[int]) -> list[Node]:
    """Return the highest nodes of the tree below which every block is among the given ones."""
    level, places, found = 0, set(blocks), []
    while places:
        parents = {place >> 1 for place in places if place ^ 1 in places}
        found += [(level, place) for place in sorted(places) if place >> 1 not in parents]
        level, places = level + 1, parents
    return found


def _weighted_sum(contents: Sequence[RecordDict], key: str) -> Sums:
    terms: dict[str, list[tuple[float, Tensor]]] = {}
    for content in contents:
        weight = _weight(content, key)
        for name, array in records_of(content, ArrayRecord)[ARRAYS].items():
            terms.setdefault(name, []).append((weight, tensor_of(array)))
    return {name: _sum(own) for name, own in terms.items()}


def _sum(terms: Sequence[tuple[float, Tensor]]) -> Tensor:
    """Return Σ weight·value in float64, one value after the other."""
    shape = terms[0][1].shape
    total = torch.zeros(shape.numel(), dtype=torch.float64)
    held = torch.empty(min(PIECE, len(total)), dtype=torch.float64)
    values = [(weight, value.reshape(-1)) for weight, value in terms]
    for first in range(0, len(total), PIECE):
        part = total[first : first + PIECE]
        exact = held[: len(part)]
        for weight, value in values:
            # Half of the time that numpy takes to multiply float32 into float64.
            part.add_(exact.copy_(value[first : first + PIECE]), alpha=weight)
    return total.reshape(shape)


def _own(content: RecordDict) -> set[str]:
    """Return which arrays a reply brought by itself."""
    return set(records_of(content, ArrayRecord).get(ARRAYS, ()))


def _sent(content: RecordDict, within: set[str]) -> set[str]:
    """Return which arrays a reply brought, by itself or in the sum that a worker made of its block."""
    if ARRAYS in content:
        return _own(content)
    lacks = records_of(content, ConfigRecord).get(LACKS)
    return within - set(cast(list[str], lacks["names"])) if lacks else within


def _weights_of_senders(sent: Iterable[tuple[float, set[str]]]) -> dict[str, float]:
    """Return for every array the sum of the weights of those who sent it, in their order."""
    weights: dict[str, float] = {}
    for weight, names in sent:
        for name in names:
            weights[name] = weights.get(name, 0) + weight
    return weights


def _averaged_metrics(contents: Sequence[RecordDict], key: str) -> MetricRecord:
    """Return sums of what counts something and weighted means of the other metrics."""
    weights = [_weight(content, key) for content in contents]
    records = [cast(MetricRecord, content[METRICS]) for content in contents]
    averages = MetricRecord()
    for name in records[0]:
        values = [record[name] for record in records]
        if name in COUNTS or name == key:
            averages[name] = sum(map(number, values))
        elif isinstance(values[0], list):
            # Lists of numbers, place by place, as Flower's strategies average them.
            averages[name] = [_mean(place, weights) for place in zip(*values, strict=True)]
        else:
            averages[name] = _mean(values, weights)
    return averages


def _mean(values: Sequence[object], weights: Sequence[float]) -> float:
    return sum(weight * number(value) for weight, value in zip(weights, values, strict=True)) / sum(weights)


def _record(sums: Sums) -> ArrayRecord:
    return make_array_record({name: encode(value.numpy()) for name, value in sums.items()})


def _weight(content: RecordDict, key: str) -> float:
    return number(cast(MetricRecord, content[METRICS])[key])
