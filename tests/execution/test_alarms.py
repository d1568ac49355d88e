"""Alarms of a run: told once for as long as they go on, never too many, and of clients far behind the others."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, MessageType, MetricRecord, RecordDict

from fedlayers.core.quantities import Facts, Quantities
from fedlayers.core.records import Pair, Record, Resource, missing, to_table
from fedlayers.execution.alarms.telling import MOST, Alarms
from fedlayers.execution.progress import Progress
from fedlayers.flower.adapter import set_identity
from fedlayers.flower.contents import packed_alarms
from fedlayers.flower.replies import Replies

QUANTITIES = Quantities.of([Facts("share", "1", 0.0, 1.0, "higher", "made up")])


class Heard(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.alarms: list[str] = []

    def alarm(self, text: str) -> None:
        self.alarms.append(text)

    def new(self) -> list[str]:
        found, self.alarms = self.alarms, []
        return found


@pytest.fixture
def heard() -> Heard:
    return Heard()


def reply(
    client: int, server_round: int, told: Sequence[str] = (), kind: str = MessageType.TRAIN, **metrics: Any
) -> Message:
    set_identity()
    extra = ConfigRecord({"alarms": packed_alarms(client, server_round, told)} if told else {})
    content = RecordDict({"fedlayers": extra, "metrics": MetricRecord(metrics)})
    message = Message(content, client + 1, kind)
    message.metadata._src_node_id = client + 1  # type: ignore[attr-defined]
    return message


def phase(losses: Mapping[int, float], seconds: Mapping[int, float] | None = None) -> Replies:
    rows = [Resource("train_s", value, "s", client=client) for client, value in (seconds or {}).items()]
    rows.append(Resource("measure_loss", 1e9, "s", client=0))
    return Replies(
        [reply(client, 1, train_loss=loss) for client, loss in losses.items()],
        tables={"resources": [to_table("resources", rows)]},
    )


def test_what_a_client_tells_is_told_once_until_it_is_over(heard: Heard) -> None:
    alarms = Alarms(heard, QUANTITIES)
    alarms.hear([reply(3, 1, ["exploding: layer fc1, epoch 1, step 11: it grows"]), reply(4, 1)])
    assert heard.new() == ["round 1, client 3: exploding: layer fc1, epoch 1, step 11: it grows"]
    alarms.hear([reply(3, 1, kind=MessageType.EVALUATE)])
    alarms.hear([reply(3, 2, ["exploding: layer fc1, epoch 1, step 1: it grows", "not finite: layer fc2"])])
    assert heard.new() == ["round 2, client 3: not finite: layer fc2"]
    alarms.hear([reply(3, 3)])
    alarms.hear([reply(3, 4, ["exploding: again"])])
    assert heard.new() == ["round 4, client 3: exploding: again"]


def test_a_round_tells_no_more_than_a_few(heard: Heard) -> None:
    alarms = Alarms(heard, QUANTITIES)
    alarms.hear([reply(client, 1, ["not finite: the training loss is nan"]) for client in range(MOST + 5)])
    alarms.compare(phase({}), 1)
    found = heard.new()
    assert len(found) == MOST + 1 and found[-1] == "round 1: 5 more like these"
    alarms.hear([reply(50, 2, ["not finite: the training loss is nan"])])
    assert len(heard.new()) == 1


@pytest.mark.parametrize(
    ("losses", "far"),
    [
        ({0: 0.5, 1: 0.6, 2: 0.55, 3: 0.52, 4: 4.0}, [4]),
        ({0: 0.5, 1: 0.6, 2: 0.55, 3: 0.52, 4: 1.0}, []),  # not twice the median
        ({0: 0.1, 1: 0.9, 2: 0.5, 3: 0.3, 4: 1.6}, []),  # they differ anyway
        ({0: 0.5, 1: 0.6, 2: 4.0}, []),  # too few to know what is usual
        ({0: 0.5, 1: 0.6, 2: 0.55, 3: float("nan"), 4: float("inf")}, []),  # told by themselves
        ({0: -0.5, 1: -0.6, 2: -0.55, 3: -0.52, 4: 4.0}, [4]),
    ],
)
def test_a_client_far_behind_in_loss_is_told(heard: Heard, losses: dict[int, float], far: list[int]) -> None:
    alarms = Alarms(heard, QUANTITIES)
    alarms.compare(phase(losses), 2)
    assert [line.partition(": ")[0] for line in heard.alarms] == [f"round 2, client {client}" for client in far]
    if far:
        assert "far behind in loss: 4 in training, the median of 5 clients is" in heard.new()[0]
    alarms.compare(phase(losses), 3)
    assert heard.new() == []


def test_a_client_far_behind_in_time_is_told(heard: Heard) -> None:
    alarms = Alarms(heard, QUANTITIES)
    alarms.compare(phase({}, {0: 1.0, 1: 1.1, 2: 0.9, 3: 1.0, 4: 9.0}), 5)
    assert heard.new() == ["round 5, client 4: far behind in time: 9 s of training, the median of 5 clients is 1 s"]
    # Three times as long, but no second.
    alarms.compare(phase({}, {0: 0.01, 1: 0.011, 2: 0.009, 3: 0.01, 4: 0.9}), 6)
    alarms.compare(phase({}, {0: 1.0, 1: 0.9, 2: 9.0}), 7)
    assert heard.new() == []


def test_values_outside_the_limits_that_a_quantity_states_are_told_once(heard: Heard) -> None:
    alarms = Alarms(heard, QUANTITIES)
    fine = [Record("share", 1 + 1e-7), Record("share", -1e-7), Record("share", math.inf), missing("share", "none")]
    alarms.check({"records": [to_table("records", [*fine, Record("unknown", 1e9)])], "spectra": []}, 1)
    assert heard.new() == []
    above = [to_table("pairs", [Pair("share", 0.5, client=0, other=1)]), to_table("pairs", [Pair("share", 1.3)])]
    alarms.check({"records": [to_table("records", fine)], "pairs": above}, 2)
    assert heard.new() == [
        "round 2, share: 1.3 lies outside the limits that its facts state, 0 to 1, where figures and intervals end; "
        "the value is kept; correct high of its facts, or the metric"
    ]
    alarms.check({"records": [to_table("records", [Record("share", -2.0)])]}, 3)
    assert heard.new() == []
    below = Alarms(heard, QUANTITIES)
    below.check({"records": [to_table("records", [Record("share", -2.0)])]}, 3)
    assert "-2 lies outside" in heard.new()[0]
