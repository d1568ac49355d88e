"""The one place that touches names of Flower that move between releases or are private (flwr 1.41 to 1.42)."""

import logging
import time
import warnings
from collections.abc import Mapping
from typing import Any, TypeVar

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.app.error import Error
from flwr.client import NumPyClient
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.serverapp.strategy import (
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedXgbBagging,
    FedXgbCyclic,
)
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

__all__ = [
    "MODELS_OF_TREES",
    "WRAPPERS",
    "ErrorCode",
    "Grid",
    "NumPyClient",
    "Run",
    "client_error",
    "integer",
    "make_array",
    "make_array_record",
    "make_message",
    "make_reply",
    "number",
    "quiet",
    "records_of",
    "run_simulation",
    "set_identity",
    "set_message_id",
]

RUN_ID = 1

# Strategies whose arrays are not a network's weights.
MODELS_OF_TREES = (FedXgbBagging, FedXgbCyclic)

# Strategies that wrap another one, which is their attribute ``strategy``.
WRAPPERS = (
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyServerSideFixedClipping,
)

R = TypeVar("R", ArrayRecord, MetricRecord, ConfigRecord)


def set_identity() -> None:
    """Give this process the identity that messages made outside Flower's runtime ask for."""
    TaskIdentity.task_id = 1
    TaskIdentity.run_id = RUN_ID
    TaskIdentity.node_id = 0


def set_message_id(message: object, message_id: str) -> None:
    """Assign a message's id, which is its Grid's to choose."""
    message.metadata.__dict__["_message_id"] = message_id  # type: ignore[attr-defined]


def client_error(reason: str) -> Error:
    """Return the error of a client that raised, with what there is to say about it."""
    return Error(code=ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason=reason)


def make_message(metadata: Metadata, content: RecordDict | None = None, error: Error | None = None) -> Message:
    """Return a message of these parts, without its constructor's checks, which take as long as a small client.

    This and the next three are a third of what a client without training costs.
    """
    message = Message.__new__(Message)
    message.__dict__.update(_metadata=metadata, _content=content, _error=error)
    return message


def make_reply(message: Message, content: RecordDict) -> Message:
    """Return a client's reply to a message, likewise."""
    asked, now = message.metadata.__dict__, time.time()
    metadata = Metadata.__new__(Metadata)
    metadata.__dict__.update(
        asked,
        _message_id="",
        _reply_to_message_id=asked["_message_id"],
        _src_node_id=asked["_dst_node_id"],
        _dst_node_id=asked["_src_node_id"],
        _src_task_id=asked["_dst_task_id"],
        _dst_task_id=asked["_src_task_id"],
        _created_at=now,
        _ttl=asked["_created_at"] + asked["_ttl"] - now,
        _delivered_at="",
    )
    return make_message(metadata, content)


def make_array(dtype: str, shape: tuple[int, ...], stype: str, data: Any) -> Array:
    """Return a serialised array; its data may be a view of memory, where the constructor insists on bytes."""
    array = Array.__new__(Array)
    array.__dict__.update(dtype=dtype, shape=shape, stype=stype, data=data)
    return array


def make_array_record(arrays: Mapping[str, Array]) -> ArrayRecord:
    """Return a record of arrays, none of them checked or copied."""
    record = ArrayRecord()
    record.__dict__["_data"].update(arrays)
    return record


def records_of(content: RecordDict, kind: type[R]) -> dict[str, R]:
    """Return a content's records of one kind by name.

    Flower's properties for this (``array_records``) leave a reference cycle behind, which keeps the arrays in memory
    until the garbage collector comes by.
    """
    return {name: record for name, record in content.__dict__["_data"].items() if isinstance(record, kind)}


def integer(value: object) -> int:
    """Return a record's value as an integer (records are typed as anything they may hold)."""
    assert isinstance(value, int | float)
    return int(value)


def number(value: object) -> float:
    """Return a record's value as a float."""
    assert isinstance(value, int | float)
    return float(value)


def run_simulation(**arguments: Any) -> None:
    """Run two apps in Flower's own runtime; the arguments are those of its function of this name.

    Imported here, because its data base and web server take longer to import than everything else of Flower together.
    """
    from flwr.simulation.run_simulation import run_simulation as run

    run(**arguments)


def quiet() -> None:
    """Keep Flower's log lines below warnings, those of its data base, and its deprecation notes, out of ours."""
    logger = logging.getLogger("flwr")
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logging.getLogger("alembic").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module=r"flwr(\.|$)")
