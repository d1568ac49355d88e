"""The records of one client that are looked at: its own examples, in one row each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedlayers.core.errors import UserError
from fedlayers.core.federation import Examples
from fedlayers.core.spelling import in_brackets
from fedlayers.heterogeneity.input_names import INPUTS, SCOPES
from fedlayers.opening.run import Run


@dataclass(frozen=True)
class LocalRecords:
    """Records of one client, numbered from 0.

    Attributes:
        client: whose they are.
        parts: scope -> its examples, one after the other.
    """

    client: int
    parts: dict[str, Examples]

    def __len__(self) -> int:
        """Return the number of records."""
        return sum(len(part) for part in self.parts.values())

    @property
    def scopes(self) -> np.ndarray:
        """The scope of each record, shape (n,), texts."""
        return np.repeat(list(self.parts), [len(part) for part in self.parts.values()])

    @property
    def truth(self) -> Tensor:
        """The label of each record, shape (n,), int64."""
        return torch.cat([part.targets() for part in self.parts.values()])

    @property
    def features(self) -> Tensor:
        """What models see of the records: normalised, shape (n, *shape), float32, on the CPU."""
        return torch.cat([part.batch(torch.arange(len(part)))[0].cpu() for part in self.parts.values()])

    def raw(self, numbers: Sequence[int] | None = None) -> Tensor:
        """Return some records as the data set has them, before they are normalised: shape (b, *shape), float32.

        Args:
            numbers: of the records; None for all.

        Raises:
            UserError: there is no record of a number.
        """
        wanted = chosen(numbers, len(self))
        # What a planted group turns is a place in an image, whatever the values.
        found = [
            part.features.index_select(0, part.index).to(torch.float32)
            if part.planted is None
            else part.planted.turned(part.features.index_select(0, part.index).to(torch.float32))
            for part in self.parts.values()
        ]
        return torch.cat(found).index_select(0, wanted)


def local_records(run: Run, client: int, inputs: str = "local") -> LocalRecords:
    """Return the records of a client.

    Args:
        run: the run.
        client: its number.
        inputs: one of ``INPUTS``.

    Raises:
        UserError: there is no such client or input set, the client has no such examples, or the data cannot be had.
    """
    check_client(run, client)
    if run.data.has_label_sets:
        raise UserError(
            f"records of {run.data.name} have several labels at once, and models are compared by the one class that "
            "they predict: choose a run on a data set with one label a record"
        )
    if inputs not in INPUTS:
        raise UserError(f"inputs must be one of {', '.join(INPUTS)}, got {inputs!r}{in_brackets(inputs, INPUTS)}")
    wanted = SCOPES if inputs == "local" else (inputs,)
    splits = run.data.splits
    parts = {scope: splits[scope][client] for scope in wanted if len(splits[scope][client])}
    if not parts:
        raise UserError(f"client {client} has no {inputs} examples: choose other inputs or another client")
    return LocalRecords(client, parts)


def chosen(numbers: Sequence[int] | None, count: int) -> Tensor:
    """Return the numbers of records that are wanted, shape (b,), int64; all of them for None.

    Raises:
        UserError: there is no record of a number.
    """
    wanted = torch.arange(count) if numbers is None else torch.tensor(list(numbers), dtype=torch.int64)
    if len(wanted) and not 0 <= int(wanted.min()) <= int(wanted.max()) < count:
        raise UserError(f"examples must be numbers in 0 … {count - 1}, got {int(wanted.max())}")
    return wanted


def check_client(run: Run, client: int) -> None:
    """Check that a run has a client.

    Raises:
        UserError: it has not.
    """
    clients = run.facts.get("clients") or 0
    if not 0 <= client < clients:
        raise UserError(f"client must be a number in 0 … {clients - 1}, got {client}")
