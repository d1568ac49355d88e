"""The models that clients train alone, for metrics that compare with them: found in another run, or trained first."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fedlayers.config.building import located
from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import UserError
from fedlayers.heterogeneity.standalone import run_alone, trained_alone
from fedlayers.measuring.build import build_metrics
from fedlayers.runs.file_names import SNAPSHOT, run_files, snapshot_of
from fedlayers.runs.folder import run_folder
from metrics.base import Metric
from metrics.heterogeneity.metric import TRAINED, Heterogeneity


@dataclass(frozen=True)
class ModelsOfRun:
    """The clients' own models that a run of ``algorithm=local`` has kept, of each client's last round.

    Attributes:
        folder: of the run.
    """

    folder: Path

    def weights(self, client: int) -> Mapping[str, Tensor]:
        """Return the parameters and buffers of a client's model, by name.

        Raises:
            ValueError: the run has kept none of this client, or its file is damaged.
        """
        place = self._places.get(str(client))
        if place is None:
            raise ValueError(
                f"{self.folder} has no model of client {client}: a run keeps them with algorithm=local and "
                "snapshots.clients=true"
            )
        try:
            found: dict[str, Tensor] = load_file(place)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{place} cannot be read ({error}): restore it from a copy") from error
        return found

    @property
    def clients(self) -> set[str]:
        """The clients whose models it has kept."""
        return self._places.keys() - {"server"}

    @cached_property
    def _places(self) -> dict[str, Path]:
        """Client -> its file of the last round."""
        files = [file.path for file in run_files(self.folder / "snapshots", SNAPSHOT) if not file.unfinished]
        named = sorted((key, path) for path in files if (key := snapshot_of(path.name)))
        return {owner: path for (_, owner), path in named}


def bind_stand_alone(metrics: Mapping[str, Metric]) -> None:
    """Let metrics that compare with stand-alone models read those of the runs that are named."""
    for metric in metrics.values():
        if isinstance(metric, Heterogeneity):
            chosen = {"standalone": metric.standalone, "second": metric.second}
            there = {name: place for name, place in chosen.items() if place and place != TRAINED}
            metric.models = {name: ModelsOfRun(Path(place)) for name, place in there.items()}


def with_stand_alone(config: Config) -> Config:
    """Return the configuration for workers: metrics name the runs they compare with, by paths that hold anywhere."""
    metrics = dict(config.metrics)
    for name, metric in _comparing(config).items():
        second = _folder(config, second=True) if metric.second == TRAINED else metric.second
        chosen = {"standalone": metric.standalone or _folder(config), "second": second}
        paths = {key: str(Path(place).resolve()) for key, place in chosen.items() if place}
        metrics[name] = {**metrics[name], **paths}
    return replace(config, metrics=metrics)


def stand_alone_runs(config: Config) -> list[Config]:
    """Return the runs of ``algorithm=local`` that have to be complete before a run starts and are not there.

    Raises:
        UserError: a folder that is named has no clients' models.
    """
    wanted = []
    for name, metric in _comparing(config).items():
        for key in ("standalone", "second"):
            place = getattr(metric, key)
            if place not in (None, TRAINED) and not ModelsOfRun(Path(place)).clients:
                raise UserError(
                    f"metrics.{name}.{key} must be the folder of a run of algorithm=local with snapshots.clients=true, "
                    f"got {place!r}, which has kept no client's model"
                )
        if config.algorithm["name"] == "local":
            continue
        named = {False: metric.standalone is None, True: metric.second == TRAINED}
        lacking = (two for two, asked in named.items() if asked and run_alone(config, run_folder(config), two) is None)
        wanted += [trained_alone(config, second) for second in lacking]
    return wanted


def _comparing(config: Config) -> dict[str, Heterogeneity]:
    """Return the metrics that compare with stand-alone models; others are not built to find them."""
    chosen = {name: node for name, node in config.metrics.items() if _compares(name, node)}
    return {name: metric for name, metric in build_metrics(chosen).items() if isinstance(metric, Heterogeneity)}


def _compares(name: str, node: Any) -> bool:
    if not isinstance(node, Mapping):
        return False  # a setting of all metrics
    found = located(f"metrics.{name}", node)
    return isinstance(found, type) and issubclass(found, Heterogeneity)


def _folder(config: Config, second: bool = False) -> Path | None:
    """Return where the clients' own models of a run lie once they are trained, None for a run that has none beside."""
    if config.algorithm["name"] == "local":
        return None
    found = run_alone(config, run_folder(config), second)
    return run_folder(trained_alone(config, second)) if found is None else found.folder
