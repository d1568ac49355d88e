"""Personal state of clients on disk: proposals by workers, committed by the server with the round."""

import base64
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fedlayers.core.errors import UserError
from fedlayers.core.seals import OPEN_DIGEST, Seal, digest, written_seal
from fedlayers.runs.file_names import CLIENT, drop_after, rounds_of

_KINDS = {"ConfigRecord": ConfigRecord, "MetricRecord": MetricRecord}


class StateStore:
    """Client states in one folder: ``<client>@<round>`` is committed, a leading dot marks a proposal.

    A worker writes the proposal, the server renames it when the round commits, so a killed worker or run loses
    nothing and repeats nothing. The last two committed states of a client are kept. Whoever commits looks at the folder
    once and knows from then on what is there, and tells the others: it may hold a hundred thousand clients.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Client -> rounds of its committed states, ascending, once the folder has been looked at.
        self._known: dict[int, list[int]] | None = None
        # Whose states are new since they were last sealed, and since older ones were last dropped; at first all are.
        self._unsealed: set[int] | None = None
        self._unpruned: set[int] | None = None

    def load(self, client: int, server_round: int, proposed: bool) -> RecordDict:
        """Return a client's state: this round's proposal if asked for, else the last committed; empty if none.

        Raises:
            UserError: the file is damaged.
        """
        return self.read(client, server_round, proposed, self.last(client))

    def read(self, client: int, server_round: int, proposed: bool, committed: int | None) -> RecordDict:
        """Return what :meth:`load` does where another process commits.

        Args:
            client: the client.
            server_round: the round.
            proposed: whether this round's proposal is asked for.
            committed: the round of its last committed state, None if it has none.
        """
        if proposed and (proposal := self.folder / f".{client}@{server_round}").exists():
            return unpack(proposal)
        return RecordDict() if committed is None else unpack(self.folder / f"{client}@{committed}")

    def last(self, client: int) -> int | None:
        """Return the round of a client's last committed state, None if it has none."""
        rounds = self._committed().get(client)
        return rounds[-1] if rounds else None

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
        """Make this round's proposals of the given clients their states."""
        known = self._committed()
        for client in clients:
            proposal = self.folder / f".{client}@{server_round}"
            if proposal.exists():
                proposal.replace(self.folder / f"{client}@{server_round}")
                known[client] = [*(own for own in known.get(client, ()) if own != server_round), server_round]
                for waiting in (self._unsealed, self._unpruned):
                    if waiting is not None:
                        waiting.add(client)

    def prune(self) -> None:
        """Drop what is older than a client's last two states, once the round counts to which the last one belongs."""
        known = self._committed()
        for client in known if self._unpruned is None else self._unpruned:
            for old in known[client][:-2]:
                (self.folder / f"{client}@{old}").unlink()
            known[client] = known[client][-2:]
        self._unpruned = set()

    def new_seals(self) -> dict[str, Seal]:
        """Return file name -> seal of the last committed states that are new since this was asked; at first of all."""
        known = self._committed()
        names = [
            f"{client}@{known[client][-1]}" for client in sorted(known if self._unsealed is None else self._unsealed)
        ]
        self._unsealed = set()
        return {name: written_seal(self.folder / name) for name in names}

    def rewind(self, server_round: int) -> None:
        """Forget proposals and every state later than the given round."""
        drop_after(self.folder, CLIENT, server_round)
        self._known = self._unsealed = self._unpruned = None

    def _committed(self) -> dict[int, list[int]]:
        """Return client -> rounds of its committed states, ascending."""
        if self._known is None:
            self._known = {int(client): rounds for client, rounds in rounds_of(self.folder, CLIENT).items()}
        return self._known


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
    # One entry, for safetensors writes several in any order.
    data: bytes = save(arrays, metadata={"state": json.dumps({"digest": OPEN_DIGEST, "records": scalars})})
    return data.replace(OPEN_DIGEST.encode(), digest(data).encode(), 1)


def unpack(path: Path) -> RecordDict:
    """Return the state that :func:`pack` wrote to a file.

    Raises:
        UserError: the file is damaged.
    """
    state = RecordDict()
    try:
        with safe_open(path, framework="numpy") as file:
            for name, record in _records_in(file.metadata()).items():
                if record["kind"] == "ArrayRecord":
                    arrays = {key: Array(file.get_tensor(f"{name}/{key}")) for key in record["keys"]}
                    state[name] = ArrayRecord(arrays)
                else:
                    values = {key: _from_json(value) for key, value in record["values"].items()}
                    state[name] = _KINDS[record["kind"]](values)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{path} is damaged ({cause}): start the same command again, which says how to go on"
        ) from error
    return state


def _records_in(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what a header says about the records; older versions have no digest beside them."""
    found: dict[str, Any] = (
        json.loads(metadata["state"])["records"] if "state" in metadata else json.loads(metadata["records"])
    )
    return found


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
