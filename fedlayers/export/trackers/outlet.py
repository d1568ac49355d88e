"""What every tracker has in common: it is opened for a run, given its rounds, and finished with figures."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from omegaconf import OmegaConf

from fedlayers.config.building import build_plugins
from fedlayers.core.errors import UserError
from fedlayers.export.exporter import Exporter, Written
from fedlayers.export.trackers.values import RoundValues, rounds_of, values_of
from fedlayers.opening.run import Run
from fedlayers.runs.folder import plain


class Sink(ABC):
    """A run in a tracker, open for more.

    Attributes:
        last: the last round that the tracker has, all of it; −1 if it has none.
    """

    last: int = -1

    @abstractmethod
    def log(self, values: RoundValues) -> None:
        """Add a round."""

    @abstractmethod
    def finish(self, last: RoundValues, figures: Mapping[str, Path]) -> None:
        """Add what was measured at the end, and figures (name -> PNG file), and say that the run is whole."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections."""


class Outlet(Exporter):
    """A tracker that people already use: ``tracking=[<its name>]`` while a run goes on, ``export --to`` afterwards.

    Args:
        clients: whether every client has values of its own beside the mean over clients.
    """

    # What is imported, and what is installed.
    library: ClassVar[str]
    package: ClassVar[str]

    def __init__(self, clients: bool = True) -> None:
        self.clients = clients

    @abstractmethod
    def open(self, run: Run) -> Sink:
        """Return the run's place in the tracker, the one it has or a new one.

        Raises:
            UserError: it cannot be had, as for want of the library.
        """

    @abstractmethod
    def existing(self, run: Run) -> str | None:
        """Return where this run, with as many rounds, is whole; None if it is not."""

    @abstractmethod
    def place(self, run: Run) -> str:
        """Return where it is, or will be."""

    def needs_library(self) -> None:
        """Make sure that the library is there.

        Raises:
            UserError: it is not.
        """
        if importlib.util.find_spec(self.library) is None:
            raise UserError(
                f"{self.package} is not installed: pip install {self.package}, or all trackers with pip install "
                "'fedlayers[tracking]'"
            )

    def write(self, run: Run) -> Written:
        """Write what a tracker lacks of a complete run.

        Raises:
            UserError: the run is not finished, the tracker has all of it, or is not to be had.
        """
        if run.facts["status"] != "complete":
            raise UserError(f"{run.folder} is {run.facts['status']}: a run is exported when it is complete")
        if before := self.existing(run):
            raise UserError(f"{before} has all of {run.folder} already: there is nothing to export")
        sink = self.open(run)
        try:
            self.bring(run, sink)
            notes = self.finish(run, sink)
        finally:
            sink.close()
        return Written(run.folder, notes, self.place(run))

    def bring(self, run: Run, sink: Sink) -> None:
        """Give the tracker the rounds that it lacks."""
        for number in rounds_of(run):
            if number > sink.last:
                sink.log(values_of(run, number, is_final=False, clients=self.clients))
                sink.last = number

    def finish(self, run: Run, sink: Sink) -> tuple[str, ...]:
        """Give the tracker what a run has when it is complete, and return what it lacks."""
        figures = figures_of(run)
        number = max(rounds_of(run), default=0)
        sink.finish(values_of(run, number, is_final=True, clients=self.clients), figures)
        return () if figures else (f"there are no figures: python -m fedlayers.plot {run.folder} draws them",)


def outlets(tracking: Mapping[str, Any]) -> dict[str, Outlet]:
    """Return the trackers of a configuration by name.

    Args:
        tracking: name -> ``_target_`` and its arguments, or None for one that was taken away again.

    Raises:
        UserError: one cannot be built.
    """
    return build_plugins("tracking", tracking, Outlet, "a subclass of fedlayers.export.trackers.outlet.Outlet")


def figures_of(run: Run) -> dict[str, Path]:
    """Return name -> PNG file of a run's figures, or of a tracker's folder."""
    found = (
        sorted(run.folder.rglob("*.png"))
        if "stretches" not in run.facts
        else sorted(run.folder.glob("figures/**/*.png"))
    )
    return {path.relative_to(run.folder).with_suffix("").as_posix(): path for path in found}


def settings_of(run: Run) -> dict[str, Any]:
    """Return dotted key -> value of a run's configuration, of what is no list of its own a text or a number.

    A training loop of one's own has none: then what its folder says of itself.
    """
    try:
        nested = plain(run.config)
    except UserError:
        return {key: value for key, value in run.facts.items() if isinstance(value, str | int | float)}
    found: dict[str, Any] = {}
    _flatten(OmegaConf.to_container(OmegaConf.create(nested)), "", found)
    return found


def _flatten(node: Any, key: str, found: dict[str, Any]) -> None:
    if isinstance(node, Mapping) and node:
        for name, inner in node.items():
            _flatten(inner, f"{key}.{name}" if key else str(name), found)
    else:
        found[key] = node if isinstance(node, str | int | float | bool) else str(node)


def name_of(run: Run) -> str:
    """Return what tells a run from all others, also from an earlier one in the same folder: study, name, begin."""
    stretches = run.facts.get("stretches") or [{}]
    return f"{run.facts.get('study', '')}/{run.folder.absolute().name}/{stretches[0].get('began', '')}"
