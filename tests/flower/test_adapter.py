"""What is made without Flower's constructors is what they make."""

import logging
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict

from fedlayers.flower.adapter import (
    client_error,
    make_array,
    make_array_record,
    make_message,
    make_reply,
    quiet,
    records_of,
    set_identity,
    set_message_id,
)
from fedlayers.flower.arrays import encode

TIMES = ("_created_at", "_ttl")


@pytest.fixture
def message() -> Message:
    set_identity()
    content = RecordDict({"config": ConfigRecord({"server-round": 1}), "metrics": MetricRecord({"n": 2})})
    found = Message(content, 7, MessageType.TRAIN, group_id="1", ttl=50.0)
    set_message_id(found, "12")
    return found


def parts(message: Message) -> dict[str, Any]:
    """Return all that a message holds, its metadata taken apart and without times."""
    metadata = {key: value for key, value in vars(message.metadata).items() if key not in TIMES}
    return {**vars(message), "_metadata": metadata}


def test_a_message_is_that_of_the_constructor(message: Message) -> None:
    made = Message(metadata=message.metadata, content=message.content)  # type: ignore[call-overload]
    assert parts(make_message(message.metadata, message.content)) == parts(made)
    failed = make_message(message.metadata, error=client_error("why"))
    assert failed.has_error() and failed.error.reason == "why" and not failed.has_content()


def test_a_reply_is_that_of_the_constructor(message: Message) -> None:
    content = RecordDict({"metrics": MetricRecord({"n": 2})})
    mine, theirs = make_reply(message, content), Message(content, reply_to=message)
    assert parts(mine) == parts(theirs) and mine.metadata.src_node_id == 7
    for name in TIMES:
        assert vars(mine.metadata)[name] == pytest.approx(vars(theirs.metadata)[name], abs=5)
    assert message.metadata.dst_node_id == 7 and message.metadata.message_id == "12"


def test_arrays_and_their_records_are_those_of_the_constructors() -> None:
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    theirs = Array(numbers)
    mine = make_array(theirs.dtype, theirs.shape, theirs.stype, theirs.data)
    assert mine == theirs == encode(numbers) and mine.object_id == theirs.object_id
    record = make_array_record({"a": mine})
    assert record == ArrayRecord({"a": theirs}) and record.object_id == ArrayRecord({"a": theirs}).object_id
    np.testing.assert_array_equal(record["a"].numpy(), numbers)


def test_records_are_found_by_kind(message: Message) -> None:
    assert list(records_of(message.content, ConfigRecord)) == ["config"]
    assert records_of(message.content, ArrayRecord) == {}


def test_what_flower_and_its_data_base_note_is_not_among_our_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    quiet()
    for name in ("flwr", "alembic.runtime.plugins"):
        logging.getLogger(name).info("set up")
    logging.getLogger("alembic.runtime.plugins").warning("wrong")
    assert caplog.messages == ["wrong"]
