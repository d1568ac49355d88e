"""Personal state of clients on disk: proposals by workers, committed by the server with the round."""

import base64
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from safetensors import safe_open
from safetensors.numpy import save

_KINDS = {"ConfigRecord": ConfigRecord, "MetricRecord": MetricRecord}


class StateStore:
    """Client states in one folder: ``<client>@<round>`` is committed, a leading dot marks a proposal.

    A worker writes the proposal, the server renames it when the round commits, so a killed worker or run loses
    nothing and repeats nothing. The last two committed states of a client are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, client: int, server_round: int, proposed: bool) -> RecordDict:
        """Return a client's state: this round's proposal if asked for, else the last committed; empty if none."""
        proposal = self.folder / f".{client}@{server_round}"
        if proposed and proposal.exists():
            return unpack(proposal)
        rounds = self._committed(client)
        return unpack(self.folder / f"{client}@{rounds[-1]}") if rounds else RecordDict()

    def propose(self, client: int, server_round: int, state: RecordDict) -> None:
        """Write the state that a client wants to have after this round."""
        self.folder.mkdir(exist_ok=True)
        scratch = self.folder / f".{client}@{server_round}.{os.getpid()}"
        with scratch.open("wb") as file:
            file.write(pack(state))
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self.folder / f".{client}@{server_round}")

    def commit(self, server_round: int, clients: Iterable[int]) -> None:
        """Make this round's proposals of the given clients their states; drop what is older than the last two."""
        for client in clients:
            proposal = self.folder / f".{client}@{server_round}"
            if proposal.exists():
                proposal.replace(self.folder / f"{client}@{server_round}")
                for old in self._committed(client)[:-2]:
                    (self.folder / f"{client}@{old}").unlink()

    def rewind(self, server_round: int) -> None:
        """Forget proposals and every state later than the given round."""
        for path in self.folder.glob("*@*") if self.folder.exists() else ():
            if path.name.startswith(".") or _round(path) > server_round:
                path.unlink()

    def _committed(self, client: int) -> list[int]:
        """Return the rounds of a client's committed states, ascending."""
        return sorted(_round(path) for path in self.folder.glob(f"{client}@*"))


def _round(path: Path) -> int:
    return int(path.name.split("@")[1].split(".")[0])


def pack(state: RecordDict) -> bytes:
    """Return a state as safetensors: arrays as tensors, scalars as JSON in the header. No pickle."""
    arrays: dict[str, np.ndarray] = {}
    scalars: dict[str, Any] = {}
    for name, record in state.items():
        if isinstance(record, ArrayRecord):
            scalars[name] = {"kind": "ArrayRecord", "keys": list(record)}
            arrays.update({f"{name}/{key}": _contiguous(array.numpy()) for key, array in record.items()})
        else:
            values = {key: _to_json(value) for key, value in record.items()}
            scalars[name] = {"kind": type(record).__name__, "values": values}
    return save(arrays, metadata={"records": json.dumps(scalars)})


def unpack(path: Path) -> RecordDict:
    """Return the state that :func:`pack` wrote to a file."""
    state = RecordDict()
    with safe_open(path, framework="numpy") as file:
        for name, record in json.loads(file.metadata()["records"]).items():
            if record["kind"] == "ArrayRecord":
                state[name] = ArrayRecord({key: Array(file.get_tensor(f"{name}/{key}")) for key in record["keys"]})
            else:
                values = {key: _from_json(value) for key, value in record["values"].items()}
                state[name] = _KINDS[record["kind"]](values)
    return state


def _contiguous(array: np.ndarray) -> np.ndarray:
    # numpy gives a scalar array an axis when it makes it contiguous.
    return np.ascontiguousarray(array).reshape(array.shape)


def _to_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    return {"bytes": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    return base64.b64decode(value["bytes"]) if isinstance(value, dict) else value
