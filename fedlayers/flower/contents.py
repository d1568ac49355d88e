"""What the records of messages and replies are called, and which of them a value that a client returns goes to."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from safetensors.numpy import load, save
from torch import Tensor

from fedlayers.core.errors import UserError
from fedlayers.core.records import SCHEMAS
from fedlayers.flower.adapter import make_array_record
from fedlayers.flower.arrays import encode

# The model's arrays and the settings, in messages; in replies the settings are what a client tells its strategy.
ARRAYS, CONFIG = "arrays", "config"
# Which plan holds for whom, in the settings of messages where plans change.
PLAN = "federation-plan"
# A reply's numbers.
METRICS = "metrics"
# Our rows and payloads in a reply, beside the records that strategies insist on.
EXTRA = "fedlayers"
BUFFERS, PAYLOADS, START = "buffers", "payloads", "start"
# Rows of the table "resources", as lines of JSON; what the work on a message took is added when all else is packed.
USAGE = "usage"
# What a client wants the user to know.
REMARK = "remark"
# What a client's training gives cause to worry about: sentences, as JSON.
ALARMS = "alarms"
# Which model was measured after training.
MEASURED = "measured"
# What several metrics send and travels once.
SHARED = "shared_payloads"
_PARTS = (*SCHEMAS, PAYLOADS, SHARED, BUFFERS, START, USAGE, REMARK, ALARMS, MEASURED)
# A record of a reply that holds a sum over clients in the place of their arrays: "sum/<level>/<place>".
SUM = "sum/"
# Which arrays of that sum a reply lacked.
LACKS = f"{SUM}lacks"


def reply_content(arrays: Mapping[str, np.ndarray] | None, count: int, found: Mapping[str, Any]) -> RecordDict:
    """Return the content of a reply: one MetricRecord, one ArrayRecord, our own record, and what is sent beside them.

    Args:
        arrays: name -> the model's array; None in an evaluation.
        count: how many examples it counts for.
        found: name -> what else the client returned. Mappings become records of arrays; bytes under our names are our
            own; other bytes, text and truth values are configuration; the rest are metrics.

    Raises:
        UserError: two records would have one name.
    """
    content, kinds = RecordDict(), {name: _kind(name, value) for name, value in found.items()}
    parts = {kind: {n: found[n] for n, own in kinds.items() if own == kind} for kind in (METRICS, EXTRA, CONFIG)}
    content[METRICS] = MetricRecord({"num-examples": int(count), "one": 1.0, **parts[METRICS]})
    if arrays is not None:
        content[ARRAYS] = array_record(arrays)
    for name in (name for name, kind in kinds.items() if kind == ARRAYS):
        if name in (ARRAYS, METRICS, CONFIG, EXTRA) or name.startswith(SUM):
            raise UserError(f"algorithm.client must not call arrays beside the model {name!r}, which is taken; rename")
        content[name] = array_record(found[name])
    content[EXTRA] = ConfigRecord(parts[EXTRA])
    if parts[CONFIG]:
        content[CONFIG] = ConfigRecord(parts[CONFIG])
    return content


def array_record(arrays: Mapping[str, np.ndarray | Tensor]) -> ArrayRecord:
    """Return named arrays as the record in which they travel."""
    plain = {name: array.detach().cpu() if isinstance(array, Tensor) else array for name, array in arrays.items()}
    return make_array_record({name: encode(np.asarray(array)) for name, array in plain.items()})


def packed_payloads(payloads: Mapping[str, Mapping[str, np.ndarray]]) -> bytes:
    """Return payloads, arrays by whose they are and by name, as safetensors."""
    every = ((whose, payload.items()) for whose, payload in payloads.items())
    return save({f"{quote(whose, safe='')}/{name}": array for whose, arrays in every for name, array in arrays})


def unpacked_payloads(data: bytes) -> dict[str, dict[str, np.ndarray]]:
    """Return what :func:`packed_payloads` was given, the arrays read-only."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for key, array in load(data).items():
        whose, _, name = key.partition("/")
        found.setdefault(unquote(whose), {})[name] = array
    return found


def packed_alarms(client: int | None, server_round: int, told: Sequence[str]) -> bytes:
    """Return the alarms of a client's training; ``client`` is None where it used all clients' examples."""
    return json.dumps({"client": client, "round": server_round, "told": list(told)}).encode()


def _kind(name: str, value: object) -> str:
    """Return which record of a reply a value goes to; ARRAYS for one of its own."""
    if isinstance(value, Mapping):
        return ARRAYS
    if isinstance(value, bytes) and name in _PARTS:
        return EXTRA
    first = value[0] if isinstance(value, list) and value else value
    return CONFIG if isinstance(first, str | bytes | bool) else METRICS
