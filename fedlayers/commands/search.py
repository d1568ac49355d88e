"""A search for good settings by a sweeper that decides as it goes, such as Optuna's: ``-m hydra/sweeper=optuna``."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from fedlayers.config.compose import composed, hydra_ready, typed
from fedlayers.config.mistakes import explained
from fedlayers.core.errors import UserError

_CHOICE = "hydra/sweeper="


def is_search(words: Sequence[str]) -> bool:
    """Say whether arguments choose a sweeper other than the one that runs every combination."""
    return any(word.startswith(_CHOICE) and word != f"{_CHOICE}basic" for word in words)


def carry_out_search(words: Sequence[str], carry_out: Callable[[Callable[[DictConfig], float]], None]) -> int:
    """Let a sweeper try settings, each run giving it its validation loss; return the exit code.

    Args:
        words: the arguments.
        carry_out: has Hydra do its work with a task.

    Raises:
        UserError: the sweeper is not installed, or a launcher is chosen: each trial depends on those before.
    """
    from fedlayers.runs.folder import run_folder
    from fedlayers.studies.study import report

    if any(word.startswith("hydra/launcher=") for word in words):
        raise UserError("hydra/launcher starts runs all at once: leave it out, for a search decides as it goes")
    if f"{_CHOICE}optuna" in words and not _there("optuna"):
        raise UserError(
            "hydra/sweeper=optuna needs Hydra's sweeper for it: pip install 'hydra-optuna-sweeper>=1.3,<1.4'"
        )
    with hydra_ready():
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        with explained(words):
            given = parser.parse_overrides(list(words))
            fixed = [word for word, one in zip(words, given, strict=True) if not one.is_sweep_override()]
            config = typed(composed(fixed), fixed)
    carry_out(objective)
    return 0 if report({run_folder(config).parent: {}}, figures=False) else 1


def _there(sweeper: str) -> bool:
    with hydra_ready():
        return sweeper in GlobalHydra.instance().config_loader().get_group_options("hydra/sweeper")


def objective(content: DictConfig) -> float:
    """Carry out a run and return what a search makes small: :func:`validation_loss`, infinite if the run failed."""
    from fedlayers.runs.folder import run_folder
    from fedlayers.studies.study import job

    job(content)
    return validation_loss(run_folder(typed(content)))


def validation_loss(run: Path) -> float:
    """Return the lowest mean over clients of the loss on their validation examples, after aggregation, over all rounds.

    Clients that have a model of their own are judged by that. Test examples have no part in it.

    Args:
        run: its folder.

    Returns:
        Infinite if the run is not complete or has no such loss.
    """
    # Pandas and Flower take seconds: a command that is mistaken answers without.
    from fedlayers.runs.reading.parts import load, to_pandas
    from fedlayers.runs.reading.selection import Selection
    from fedlayers.views.comparison.scoring import CHOOSING, COLUMNS, Reported, scores

    if not (run / "done.json").is_file():
        return math.inf
    asked = Selection({"metric": (CHOOSING[0],), "scope": (CHOOSING[1],)}, COLUMNS)
    found = scores(to_pandas(load(run, "records", asked)), (CHOOSING[0],), Reported(round="best"))
    losses = found.loc[found["scope"] == CHOOSING[1], "value"]
    return float(losses.mean()) if len(losses) else math.inf
