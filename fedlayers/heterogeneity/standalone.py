"""Models that clients trained alone: those of a run of ``algorithm=local`` with the same data and training."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlayers.config.schema.settings import Config, Plan, Snapshots
from fedlayers.core.errors import UserError
from fedlayers.opening.run import Run
from fedlayers.runs.reading.run_facts import is_run, run_folders

if TYPE_CHECKING:
    from torch import nn

# Beside the run's own files: runs that were made to compare with it.
FOLDER = "standalone"
# As conf/algorithm/local.yaml has it.
_LOCAL = {
    "name": "local",
    "strategy": {"_target_": "strategies.local.Local"},
    "client": {"_target_": "clients.local.LocalClient"},
}
# What both runs must have in common: the data, who holds them, and how a client trains.
ALIKE = (
    "dataset", "partition", "plant", "split", "clients", "examples_per_client", "model", "objective", "learner",
    "training", "rounds", "seed",
)  # fmt: skip


def standalone_model(run: Run, client: int, second: bool = False) -> "nn.Module":
    """Return the model that a client trained alone, in eval mode on the CPU.

    Args:
        run: the federated run.
        client: the client's number.
        second: whether the one that trained with another seed is meant.

    Raises:
        UserError: there is none.
    """
    alone = standalone_run(run, second)
    if alone is None and second:
        raise UserError(
            f"run {run.folder.name} has no second stand-alone models, which say how far two seeds disagree: "
            f"python -m fedlayers.heterogeneity {run.folder} --second trains them"
        )
    if alone is None:
        raise UserError(
            f"run {run.folder.name} has no stand-alone models to compare with: python -m fedlayers.heterogeneity "
            f"{run.folder} trains them (or run algorithm=local with otherwise the same settings and "
            "snapshots.clients=true into the same study)"
        )
    return alone.model(int(alone.facts["round"]), client)


def standalone_run(run: Run, second: bool = False) -> Run | None:
    """Return the run of ``algorithm=local`` that a run is compared with; None if there is none that kept its models.

    It is looked for in the run's folder ``standalone`` and among the other runs of its study.

    Args:
        run: the federated run.
        second: whether the one that trains with another seed is meant, from whose models the first ones' differ by
            chance.
    """
    if run.config.algorithm["name"] == "local" and not second:
        return run if _keeps_models(run) else None
    return run_alone(run.config, run.folder, second)


def run_alone(config: Config, place: Path, second: bool = False) -> Run | None:
    """Return the run of ``algorithm=local`` that goes with a configuration, None if there is none with its models.

    Args:
        config: of the federated run.
        place: its folder, which need not be there yet.
        second: whether the one that trains with another seed is meant.
    """
    wanted = _alike(with_other_seed(config) if second else config)
    for folder in _candidates(place):
        other = Run(folder)
        try:
            if other.config.algorithm["name"] == "local" and _alike(other.config) == wanted and _keeps_models(other):
                return other
        except UserError:
            continue  # a damaged one, or one of another version
    return None


def with_other_seed(config: Config) -> Config:
    """Return the configuration with the same data, and other initial weights and orders of examples."""
    return replace(config, training=replace(config.training, seed=(config.training_seed + 1) % 2**63))


def trained_alone(config: Config, second: bool = False) -> Config:
    """Return the configuration of the run in which each client of another one trains by itself, in all rounds.

    Args:
        config: of the federated run: the same data, model and training, in the same study.
        second: whether it trains with another seed, see :func:`with_other_seed`.
    """
    return replace(
        with_other_seed(config) if second else config,
        algorithm=_LOCAL,
        metrics={name: value for name, value in config.metrics.items() if name == "evaluation"},
        similarity={},
        export={},
        tracking={},
        plan=Plan(),
        snapshots=Snapshots(["last"], clients=True),
        fraction=1.0,
        surveyed_clients=None,
        figures=False,
        force=False,
    )


def _candidates(folder: Path) -> Iterator[Path]:
    own = folder / FOLDER
    if own.is_dir():
        yield from run_folders(own)
    if folder.parent.is_dir() and not is_run(folder.parent):
        # A link may lead out of the study.
        yield from (one for one in run_folders(folder.parent) if one != folder and not one.is_symlink())


def _alike(config: Config) -> Mapping[str, Any]:
    plain = asdict(config)
    return {key: plain[key] for key in ALIKE}


def _keeps_models(run: Run) -> bool:
    last, clients = run.facts.get("round"), run.facts.get("clients") or 0
    kept = {owner for number, owner in run.models.itertuples(index=False) if number == last}
    return {str(client) for client in range(clients)} <= kept
