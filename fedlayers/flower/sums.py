"""Sums over clients in one fixed order, so that workers may add up for the server without changing a bit.

A strategy that only averages (``averages = True``) gets a single reply: the weighted mean of all. Clients are summed in
blocks of five, blocks in a binary tree. Whoever has all replies below a node of that tree may add them up: a worker,
or else the server. The tree depends on who was asked and on nothing else: neither engine nor number of workers.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from torch import Tensor

from fedlayers.core.devices import threads
from fedlayers.flower.adapter import make_message, number, records_of
from fedlayers.flower.arrays import encode, tensor_of
from fedlayers.flower.contents import ARRAYS, METRICS, SUM

BLOCK = 5
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
        contents: the replies, each with one ArrayRecord and one MetricRecord, in the order in which they are summed.
        key: the metric that holds a reply's weight.
    """
    if len(contents) == 1:
        return {name: tensor_of(array).double() for name, array in records_of(contents[0], ArrayRecord)[ARRAYS].items()}
    total = sum(_weight(content, key) for content in contents)
    return {name: value.div_(total) for name, value in _weighted_sum(contents, key).items()}


def add_up_on_worker(blocks: Mapping[int, Sequence[RecordDict]], key: str) -> None:
    """Replace the arrays of whole blocks of replies by the sums below the highest nodes that these blocks fill.

    Args:
        blocks: block -> contents of its replies, by node id; changed in place.
        key: the metric that holds a reply's weight.
    """
    with threads(1):
        sums = {root: _total(root, blocks, {}, key) for root in _highest(blocks)}
    for contents in blocks.values():
        for content in contents:
            del content[ARRAYS]
    for (level, place), total in sums.items():
        first = blocks[place << level][0]
        first[f"{SUM}{level}/{place}"] = _record(total or {})


def averaged(replies: Sequence[Message], blocks: Mapping[int, int], key: str) -> list[Message]:
    """Return the one reply that stands for all: weighted means of arrays and metrics, and the sum of the weights.

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
    # One thread, as on the workers: threads differ in the last bits where their shares of an array end.
    with threads(1):
        total = _total((max(blocks.values()).bit_length(), 0), members, received, key) or {}
    metrics = _averaged_metrics([reply.content for reply in replies], key)
    weight = number(metrics[key])
    arrays = _record({name: value.div_(weight) for name, value in total.items()})
    content = RecordDict({ARRAYS: arrays, METRICS: metrics})
    return [make_message(content=content, metadata=replies[0].metadata)]


def _total(
    node: Node, blocks: Mapping[int, Sequence[RecordDict]], received: Mapping[Node, ArrayRecord], key: str
) -> Sums | None:
    """Return the weighted sum below a node, None if nobody there replied."""
    level, place = node
    if node in received:
        return {name: tensor_of(array).clone() for name, array in received[node].items()}
    if level == 0:
        return _weighted_sum(blocks[place], key) if place in blocks else None
    left, right = (_total((level - 1, child), blocks, received, key) for child in (2 * place, 2 * place + 1))
    if left is None or right is None:
        return left or right
    for name, value in left.items():
        value.add_(right[name])
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
    sums: Sums = {}
    exact: Sums = {}
    for content in contents:
        weight = _weight(content, key)
        for name, array in records_of(content, ArrayRecord)[ARRAYS].items():
            value = tensor_of(array)
            if name not in sums:
                sums[name] = torch.zeros(value.shape, dtype=torch.float64)
                exact[name] = torch.empty_like(sums[name])
            # Half of the time that numpy takes to multiply float32 into float64.
            sums[name].add_(exact[name].copy_(value), alpha=weight)
    return sums


def _averaged_metrics(contents: Sequence[RecordDict], key: str) -> MetricRecord:
    """Return sums of what counts something and weighted means of the other metrics."""
    weights = [_weight(content, key) for content in contents]
    records = [records_of(content, MetricRecord)[METRICS] for content in contents]
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
    return ArrayRecord({name: encode(value.numpy()) for name, value in sums.items()})


def _weight(content: RecordDict, key: str) -> float:
    return number(records_of(content, MetricRecord)[METRICS][key])
