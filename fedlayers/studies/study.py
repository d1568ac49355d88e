"""A study: the runs of a sweep, written down before the first one starts, so that "missing" means something."""

import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from fedlayers.config.compose import Points, composed, hydra_ready, typed
from fedlayers.config.contradictions import contradictions, refuse_contradictions
from fedlayers.config.mistakes import explained
from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import ClientFailed, Stopped, UserError, WorkerLost, one_line
from fedlayers.core.machine.disk import DiskError
from fedlayers.core.machine.garbage import rare_collections
from fedlayers.core.machine.signals import in_submitted_job, queue_again
from fedlayers.runs.expected.expected_runs import failures, forget_failure, note_failure

# Raised on purpose, with a text that says all there is to say: shown without a traceback.
TOLD = (UserError, ClientFailed, WorkerLost)


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep, composed and checked.

    Attributes:
        configs: the configuration of each run.
        overrides: the values each run has of what is swept, and what else was given for all.
        settings: arguments that are Hydra's own.
        master: what Hydra makes of the arguments that are not swept.
    """

    configs: Sequence[Config]
    overrides: Sequence[Sequence[str]]
    settings: Sequence[str]
    master: DictConfig

    @property
    def is_plain(self) -> bool:
        """Whether Hydra has nothing to do with the runs but to start them here, one after the other."""
        choices = self.master.hydra.runtime.choices
        return not self.settings and choices["hydra/launcher"] == choices["hydra/sweeper"] == "basic"

    @property
    def words(self) -> list[list[str]]:
        """Each run's arguments, complete."""
        return [[*self.settings, *overrides] for overrides in self.overrides]

    def expected(self) -> dict[Path, dict[str, list[str]]]:
        """Return for each study folder the names of its runs and their arguments."""
        from fedlayers.runs.folder import run_folder

        found: dict[Path, dict[str, list[str]]] = {}
        for config, overrides in zip(self.configs, self.overrides, strict=True):
            folder = run_folder(config)
            found.setdefault(folder.parent, {}).setdefault(folder.name, list(overrides))
        return found


def compose_sweep(words: Sequence[str]) -> Sweep:
    """Compose and check every run of a sweep, as Hydra's sweeper will do it.

    Args:
        words: arguments with comma-separated values, rewritten by :func:`fedlayers.config.arguments.overrides_of`.

    Raises:
        UserError: for a mistake in any of the runs, or if nothing is swept.
    """
    # OmegaConf's nodes know what they stand in: looking whether they are garbage took a quarter of the time.
    with rare_collections():
        return _composed_sweep(words)


def _composed_sweep(words: Sequence[str]) -> Sweep:
    with hydra_ready():
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        with explained(words):
            given = parser.parse_overrides(list(words))
            master = composed([word for word, one in zip(words, given, strict=True) if not one.is_sweep_override()])
            params = [f"{key}={value}" for key, value in (master.hydra.sweeper.params or {}).items()]
            swept = parser.parse_overrides(params) + [one for one in given if not one.is_hydra_override()]
            points = BasicSweeper.split_arguments(swept, None)[0]
        if len(points) == 1 and master.hydra.runtime.choices["hydra/launcher"] == "basic":
            raise UserError(
                "-m runs several values, but none are given: write some, such as seed=0,1,2, or leave out -m"
            )
        settings = [word for word, one in zip(words, given, strict=True) if one.is_hydra_override()]
        composing = Points(settings)
        configs = [composing.config(point) for point in points]
    from fedlayers.execution.build import check_parts, without_unread_plan

    given_words = [[*point, *(word for word in words if "=" in word)] for point in points]
    refuse_contradictions([contradictions(*run) for run in zip(configs, given_words, strict=True)])
    own = [without_unread_plan(config) for config in configs]
    # A plan that none of the runs reads is refused as in a run by itself.
    configs = own if any(config.plan.name != "all" for config in own) else configs
    for config in configs:
        check_parts(config)
    return Sweep(configs, points, settings, master)


def job(content: DictConfig) -> None:
    """Carry out what Hydra has composed as one run of a sweep, see :func:`carry_out`."""
    carry_out(typed(content))


def carry_out(config: Config) -> None:
    """Carry out one run of a sweep; a failure is noted in the study folder and the other runs go on.

    Raises:
        KeyboardInterrupt: the run was stopped, and with it the sweep: no Exception, for Hydra would go on.
        SystemExit: the job's time has ended and it is queued again.
    """
    from fedlayers.execution.build import without_unread_plan
    from fedlayers.runs.folder import run_folder

    config = without_unread_plan(config)
    folder = run_folder(config)
    forget_failure(folder)
    try:
        _execute_in_sweep(config)
    except Exception as error:
        if not isinstance(error, TOLD):
            traceback.print_exc()
        print(f"failed: {folder.name}: {error}", file=sys.stderr)
        with suppress(DiskError):  # what has no room has been told
            note_failure(folder, one_line(error))


def _execute_in_sweep(config: Config) -> None:
    from fedlayers.execution.execute import execute

    try:
        execute(config)
    except Stopped as error:
        if not in_submitted_job():
            raise KeyboardInterrupt from error
        queue_again()


def report(expected: Mapping[Path, Mapping[str, Sequence[str]]], figures: bool) -> bool:
    """Gather the complete runs of each study, tell what there is, and say whether every run went well.

    Args:
        expected: study folder -> run -> arguments.
        figures: whether to draw the studies' figures.
    """
    from fedlayers.studies.aggregate import aggregate

    went_well = True
    for study, runs in expected.items():
        try:
            print(aggregate(study))
            if figures:
                _draw(study)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            went_well = False
        for run, reason in failures(study, runs).items():
            print(f"failed: {run}: {reason}", file=sys.stderr)
            went_well = False
    return went_well


def _draw(study: Path) -> None:
    """Draw what the study's complete runs show together; figures that fail lose nothing else."""
    from fedlayers.figures.draw import draw_main

    try:
        drawn = draw_main(study)
    except DiskError:
        raise
    except UserError:
        return  # no run is complete
    print(f"figures: {study / 'figures'} ({len(drawn)} as PNG and PDF)")
