"""Sums over clients: the tree, its parts on workers and on the server, and the mean against numpy."""

import itertools
from collections.abc import Iterable

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MessageType, MetricRecord, RecordDict

from fedlayers.flower.adapter import number, records_of, set_identity
from fedlayers.flower.sums import BLOCK, WorkerSums, averaged, block_of, weighted_mean


@pytest.fixture(autouse=True)
def identity() -> None:
    set_identity()


def sent_to(count: int) -> list[Message]:
    # Clients are sampled: node ids have gaps.
    return [Message(RecordDict({}), 3 * client + 1, MessageType.TRAIN) for client in range(count)]


def replies_to(sent: list[Message], seed: int = 0) -> list[Message]:
    generator = np.random.default_rng(seed)
    return [
        Message(
            RecordDict(
                {
                    "arrays": ArrayRecord(
                        {
                            "w": Array(generator.standard_normal((7, 3)).astype(np.float32)),
                            "b": Array(np.array(generator.standard_normal(), np.float32)),
                        }
                    ),
                    "metrics": MetricRecord(
                        {"num-examples": int(generator.integers(1, 90)), "one": 1.0, "loss": generator.random()}
                    ),
                }
            ),
            reply_to=message,
        )
        for message in sent
    ]


def array_of(reply: Message, name: str) -> np.ndarray:
    return records_of(reply.content, ArrayRecord)["arrays"][name].numpy()


def metric_of(reply: Message, name: str) -> float:
    return number(records_of(reply.content, MetricRecord)["metrics"][name])


def arrays_of(reply: Message) -> list[list[float]]:
    return [array_of(reply, name).ravel().tolist() for name in ("w", "b")]


def add_up(replies: list[Message], blocks: dict[int, int], chosen: set[int], key: str = "num-examples") -> None:
    """Add up some blocks as a worker that ran them would."""
    members: dict[int, list[RecordDict]] = {}
    for reply in replies:
        block = blocks[reply.metadata.src_node_id]
        if block in chosen:
            members.setdefault(block, []).append(reply.content)
    sums = WorkerSums(key)
    for block, contents in members.items():
        sums.add(block, contents)
    sums.finish()


def test_blocks_are_five_clients_each_in_the_order_of_their_ids() -> None:
    sent = sent_to(12)
    assert [block_of(reversed(sent))[message.metadata.dst_node_id] for message in sent] == [0] * 5 + [1] * 5 + [2] * 2


@pytest.mark.parametrize("key", ["num-examples", "one"])
@pytest.mark.parametrize("count", [1, 4, 5, 6, 37, 83])
def test_the_mean_is_numpys(count: int, key: str) -> None:
    sent = sent_to(count)
    replies = replies_to(sent)
    weights = [metric_of(reply, key) for reply in replies]
    expected = {
        name: np.average([array_of(reply, name).astype(float) for reply in replies], 0, weights) for name in ("w", "b")
    }
    losses = np.average([metric_of(reply, "loss") for reply in replies], weights=weights)
    examples = sum(metric_of(reply, "num-examples") for reply in replies)
    [mean] = averaged(replies, block_of(sent), key)
    for name, array in expected.items():
        np.testing.assert_allclose(array_of(mean, name), array, rtol=1e-13, atol=1e-15)
        assert array_of(mean, name).dtype == np.float64
    assert metric_of(mean, "num-examples") == examples
    assert metric_of(mean, "one") == count
    assert metric_of(mean, "loss") == pytest.approx(losses)


@pytest.mark.parametrize("seed", range(5))
def test_any_split_of_the_blocks_over_workers_gives_the_same_bits(seed: int) -> None:
    sent = sent_to(43)
    blocks = block_of(sent)
    [alone] = averaged(replies_to(sent), blocks, "num-examples")
    generator = np.random.default_rng(seed)
    owner = generator.integers(0, 4, max(blocks.values()) + 1)
    replies = replies_to(sent)
    # Owner 0 is the server: its blocks arrive client by client.
    for worker in (1, 2, 3):
        add_up(replies, blocks, {block for block, found in enumerate(owner) if found == worker})
    [shared] = averaged(replies, blocks, "num-examples")
    assert arrays_of(shared) == arrays_of(alone)


def test_a_worker_with_neighbouring_blocks_sends_few_sums() -> None:
    sent = sent_to(20 * BLOCK)
    blocks = block_of(sent)
    replies = replies_to(sent)
    add_up(replies, blocks, set(range(10)))
    names = list(itertools.chain(*(reply.content for reply in replies[: 10 * BLOCK])))
    assert sorted(name for name in names if name.startswith("sum/")) == ["sum/1/4", "sum/3/0"]
    assert "arrays" not in names


def test_clients_that_dropped_out_are_left_out_wherever_the_others_are_added_up() -> None:
    sent = sent_to(18)
    blocks = block_of(sent)
    lost = {1, 5, 6, 7, 8, 9, 17}
    kept = [[reply for place, reply in enumerate(replies_to(sent)) if place not in lost] for _ in range(2)]
    add_up(kept[0], blocks, {2})
    [some], [none] = (averaged(replies, blocks, "num-examples") for replies in kept)
    assert arrays_of(some) == arrays_of(none)
    expected = weighted_mean([reply.content for reply in kept[1]], "num-examples")
    np.testing.assert_allclose(array_of(some, "w"), expected["w"].numpy(), rtol=1e-13, atol=1e-15)


def test_lists_of_numbers_are_averaged_place_by_place() -> None:
    sent = sent_to(3)
    replies = replies_to(sent)
    for place, reply in enumerate(replies):
        records_of(reply.content, MetricRecord)["metrics"]["by_layer"] = [1.0, float(place)]
    [mean] = averaged(replies, block_of(sent), "one")
    assert records_of(mean.content, MetricRecord)["metrics"]["by_layer"] == [1.0, 1.0]


def lacking(replies: list[Message], name: str, places: Iterable[int]) -> list[Message]:
    """Take an array out of some replies."""
    for place in places:
        del records_of(replies[place].content, ArrayRecord)["arrays"][name]
    return replies


def test_an_array_is_divided_by_those_who_sent_it_by_hand() -> None:
    set_identity()
    replies = []
    for message, examples, arrays in zip(
        sent_to(3), (10, 30, 60), ({"w": 1.0, "b": 2.0}, {"w": 5.0}, {"b": 9.0}), strict=True
    ):
        record = ArrayRecord({name: Array(np.array([value], np.float32)) for name, value in arrays.items()})
        metrics = MetricRecord({"num-examples": examples, "one": 1.0})
        replies.append(Message(RecordDict({"arrays": record, "metrics": metrics}), reply_to=message))
    [mean] = averaged(replies, block_of(sent_to(3)), "num-examples")
    # w: (10 · 1 + 30 · 5) / 40; b: (10 · 2 + 60 · 9) / 70
    assert (array_of(mean, "w").item(), array_of(mean, "b").item()) == (4.0, 8.0)
    found = weighted_mean([reply.content for reply in replies], "one")
    assert (found["w"].item(), found["b"].item()) == (3.0, 5.5)


@pytest.mark.parametrize("seed", range(3))
def test_who_lacks_arrays_is_known_wherever_they_are_added_up(seed: int) -> None:
    sent = sent_to(43)
    blocks = block_of(sent)
    # Nobody of the second and third block sends it; within others some do.
    lost = [0, 3, *range(5, 15), 20, 42]
    generator = np.random.default_rng(seed)
    owner = generator.integers(0, 3, max(blocks.values()) + 1)
    replies = lacking(replies_to(sent), "b", lost)
    kept = [reply for place, reply in enumerate(replies_to(sent)) if place not in lost]
    weights = [metric_of(reply, "num-examples") for reply in kept]
    expected = np.average([array_of(reply, "b").astype(float) for reply in kept], 0, weights)
    [alone] = averaged(lacking(replies_to(sent), "b", lost), blocks, "num-examples")
    for worker in (1, 2):
        add_up(replies, blocks, {block for block, found in enumerate(owner) if found == worker})
    [shared] = averaged(replies, blocks, "num-examples")
    assert arrays_of(shared) == arrays_of(alone)
    np.testing.assert_allclose(array_of(alone, "b"), expected, rtol=1e-13)


def test_no_replies_give_no_reply() -> None:
    assert averaged([], block_of(sent_to(3)), "one") == []
