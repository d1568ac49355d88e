"""A run opened again: its configuration, its data, its models and its tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import UserError
from fedlayers.core.quantities import Quantities
from fedlayers.core.tables.parts import WRITER
from fedlayers.runs.file_names import SNAPSHOT, run_files, snapshot_of
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.selection import Selection, listed
from fedlayers.runs.reading.tables import Tables

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

    from fedlayers.core.federation import Federation


@dataclass(frozen=True)
class Run:
    """A run's folder, each part read or built when it is first asked for.

    Attributes:
        folder: the run's.
    """

    folder: Path

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """What run.json says: data set, algorithm, seed, status, layers, classes, hosts, versions and wall time."""
        return run_facts(self.folder)

    @cached_property
    def tables(self) -> Tables:
        """All tables."""
        return self._tables((), {})

    @property
    def quantities(self) -> Quantities:
        """Name -> how to read the values of what was measured."""
        return self.tables.quantities

    @property
    def partition(self) -> "pd.DataFrame":
        """How many examples of each class every client has."""
        return self.tables.partition

    @cached_property
    def config(self) -> Config:
        """The configuration, as the run had it.

        Raises:
            UserError: there is none, as of a training loop of one's own, or it cannot be read.
        """
        from fedlayers.runs.reading.run_config import typed_config

        return typed_config(self.folder)

    @cached_property
    def data(self) -> "Federation":
        """The clients' data, read and divided as in the run.

        Raises:
            UserError: there is no configuration, or the data cannot be had.
        """
        from fedlayers.data import load_federation

        return load_federation(self.config)

    @cached_property
    def models(self) -> "pd.DataFrame":
        """Which models are kept: a row each, ``round`` and ``owner`` (``server``, or a client's number as text)."""
        import pandas as pd

        rows = [(number, owner) for number, owner in sorted(self._snapshots, key=lambda key: (key[0], key[1].zfill(9)))]
        return pd.DataFrame(rows, columns=["round", "owner"])

    def records(self, *, columns: Sequence[str] = (), **filters: Any) -> "pd.DataFrame":
        """Return single values: those of a selection, see :func:`fedlayers.read`."""
        return self._tables(columns, filters).records

    def pairs(self, *, columns: Sequence[str] = (), **filters: Any) -> "pd.DataFrame":
        """Return values between two things: those of a selection, see :func:`fedlayers.read`."""
        return self._tables(columns, filters).pairs

    def spectra(self, *, columns: Sequence[str] = (), **filters: Any) -> "pd.DataFrame":
        """Return curves and rows of matrices: those of a selection, see :func:`fedlayers.read`."""
        return self._tables(columns, filters).spectra

    def resources(self, *, columns: Sequence[str] = (), **filters: Any) -> "pd.DataFrame":
        """Return times, memory and bytes: those of a selection, see :func:`fedlayers.read`."""
        return self._tables(columns, filters).resources

    def weights(self, round: int | str = "best", owner: int | str = "server") -> "dict[str, Tensor]":
        """Return the parameters and buffers of a model that the run has kept, by name.

        Args:
            round: its round, or ``"best"``: the global model with the lowest loss on the clients' validation examples.
            owner: ``"server"`` for the global model, or a client's number.

        Raises:
            UserError: there is no such model, or its file cannot be read.
        """
        from safetensors.torch import load_file

        place = self._snapshots.get(self._key(round, owner))
        if place is None:
            raise UserError(f"{self.folder} has no model of owner {owner} at round {round}: {self._kept()}")
        try:
            return load_file(place)
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{place} cannot be read ({error}): restore it from a copy, or read another round"
            ) from None

    def model(self, round: int | str = "best", owner: int | str = "server") -> "nn.Module":
        """Return a model that the run has kept, in eval mode on the CPU.

        Args:
            round: its round, or ``"best"``.
            owner: ``"server"`` or a client's number.

        Raises:
            UserError: there is no such model, it lacks layers that clients keep, or no configuration to build it from.
        """
        weights = self.weights(round, owner)
        network = self.network()
        if lost := [name for name in network.state_dict() if name not in weights]:
            raise UserError(
                f"the model of owner {owner} at round {round} is not whole, {lost[0]} stays with the clients: read "
                "what there is with weights(), or a client's model, which snapshots.clients=true keeps"
            )
        network.load_state_dict(weights)
        return network.eval()

    def network(self) -> "nn.Module":
        """Return the run's network with the weights that its seed draws: those of round 0, unless ``init`` gave others.

        Raises:
            UserError: there is no configuration to build it from, or its class cannot be had.
        """
        from fedlayers.models import build_model

        shape = self.facts.get("shape") or self.data.shape
        words, classes = self.facts.get("tokens") or 0, len(self.facts["classes"])
        return build_model(self.config.model, tuple(shape), classes, self.config.training_seed, words)

    def _tables(self, columns: Sequence[str], filters: Mapping[str, Any]) -> Tables:
        selection = Selection.of(filters, columns)
        return Tables(self.folder, (self.folder,), False, selection)

    @cached_property
    def _snapshots(self) -> dict[tuple[int, str], Path]:
        files = (file.path for file in run_files(self.folder / "snapshots", SNAPSHOT) if not file.unfinished)
        found = {key: path for path in files if (key := snapshot_of(path.name))}
        best = self.folder / "snapshots" / "best.safetensors"
        if best.is_file() and self.facts.get("best"):
            found.setdefault((int(self.facts["best"]["round"]), "server"), best)
        return found

    def _key(self, round: int | str, owner: int | str) -> tuple[int, str]:
        if round == "best":
            best = self.facts.get("best")
            return (int(best["round"]) if best else -1, str(owner))
        if isinstance(round, str):
            raise UserError(f"round must be a whole number or 'best', got {round!r}")
        return int(round), str(owner)

    def _kept(self) -> str:
        """Return which models there are, and how a run keeps more."""
        rounds: dict[str, list[int]] = {}
        for number, owner in self._snapshots:
            rounds.setdefault("server" if owner == "server" else "clients", []).append(number)
        told = [f"of {whose} at rounds {listed(sorted(set(numbers)))}" for whose, numbers in rounds.items()]
        own_loop = self.facts.get("written_by") == WRITER
        more = (
            "a training loop of one's own saves its models itself, such as by torch.save"
            if own_loop
            else "snapshots.rounds and snapshots.clients=true let a run keep more"
        )
        return f"there are models {' and '.join(told)}; {more}" if told else f"it has kept none; {more}"
