"""The command line: ``python -m fedlayers`` and the ``fedlayers`` script."""

import io
import os
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from fedlayers.commands.command import damage_told
from fedlayers.commands.search import carry_out_search, is_search
from fedlayers.config.arguments import Arguments, read_arguments
from fedlayers.config.compose import composed, hydra_ready, register_schema, typed
from fedlayers.config.contradictions import contradictions, refuse_contradictions
from fedlayers.config.mistakes import explained
from fedlayers.config.options import config_dir
from fedlayers.config.read_once import reading_once
from fedlayers.config.schema.settings import Config
from fedlayers.core import VERSION
from fedlayers.core.errors import Stopped, UserError
from fedlayers.core.machine.disk import disk_errors
from fedlayers.core.machine.signals import last_signal, signals_answered
from fedlayers.core.machine.streams import keep_streams
from fedlayers.runs.expected.living_sweeps import sweeping
from fedlayers.studies.study import TOLD, Sweep, carry_out, compose_sweep, job, report

_WIDTH = 120
_SHOWING = ("--help", "--hydra-help", "--cfg", "--info", "--shell-completion")


def main(words: Sequence[str] | None = None) -> None:
    """Do what the command line asks for; leave with the exit code: 0, 1 after a failure, 128 + signal if stopped."""
    given = sys.argv[1:] if words is None else words
    sys.exit(carried_out_or_continued(lambda: start(read_arguments(given))))


def carried_out_or_continued(work: Callable[[], int]) -> int:
    """Do work that trains and return its exit code: its own, 1 after a failure, 128 + signal if stopped.

    Args:
        work: returns an exit code; what it raises is told, and that the same command goes on with it.
    """
    keep_streams()
    try:
        with signals_answered(), disk_errors(Path()), damage_told():
            return work()
    except TOLD as error:
        if "1" in (os.environ.get("HYDRA_FULL_ERROR"), os.environ.get("FEDLAYERS_TRACEBACK")):
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (Stopped, KeyboardInterrupt):
        told = "the same command continues after the last complete round, or begins if there is none"
        print(f"stopped; {told}", file=sys.stderr)
        return 128 + (last_signal() or signal.SIGINT)


def start(arguments: Arguments) -> int:
    """Do what the arguments ask for; return the exit code."""
    register_schema()
    if "--version" in arguments.flags:
        print(f"fedlayers {VERSION} (Flower {version('flwr')}, Hydra {version('hydra-core')})")
        return 0
    if any(flag in arguments.flags for flag in _SHOWING):
        with explained(arguments.overrides):
            show = _show_help if "--help" in arguments.flags else _hydra
            show(arguments.words, job)
        return 0
    if "--multirun" in arguments.flags and is_search(arguments.overrides):
        multirun = Arguments({"--multirun": ""}, arguments.overrides)
        with signals_answered():
            return carry_out_search(arguments.overrides, lambda task: _hydra(multirun.words, task))
    if "--multirun" in arguments.flags:
        return carry_out_sweep(compose_sweep(arguments.overrides), arguments)
    words = arguments.overrides
    with hydra_ready():
        content = composed(words)
        config = typed(content, words)
    if str(content.hydra.mode).endswith("MULTIRUN"):
        return carry_out_sweep(compose_sweep(arguments.overrides), arguments)
    launcher = content.hydra.runtime.choices["hydra/launcher"]
    if launcher != "basic":
        raise UserError(f"hydra/launcher={launcher} starts the runs of a sweep: add -m, or leave it out to run here")
    refuse_contradictions([contradictions(config, words)])
    study = _study_folder(config)
    from fedlayers.execution.build import check_parts

    check_parts(config)
    _announce(content, words)
    _single(study, arguments)
    return 0


def _single(study: Path, arguments: Arguments) -> None:
    """Carry out one run; what it raises is raised here, past Hydra's own reporting."""
    raised: list[Exception] = []

    def task(content: DictConfig) -> None:
        from fedlayers.execution.execute import execute

        try:
            execute(typed(content))
        except Exception as error:
            raised.append(error)

    from fedlayers.runs.folder import no_empty_folders

    with no_empty_folders(study):
        _hydra(arguments.words, task)
    for error in raised:
        raise error


def carry_out_sweep(sweep: Sweep, arguments: Arguments) -> int:
    """Carry out what is missing of a sweep, gather its results in any case; return the exit code."""
    expected = sweep.expected()
    for config in sweep.configs:
        _study_folder(config)
    _announce(sweep.master, arguments.overrides)
    figures = any(config.figures for config in sweep.configs)
    with signals_answered(), sweeping(expected):
        try:
            _carry_out(sweep, arguments)
        finally:
            went_well = report(expected, figures=figures and last_signal() is None)
    return 0 if went_well else 1


def _carry_out(sweep: Sweep, arguments: Arguments) -> None:
    """Have the runs of a sweep carried out: as jobs, or here, one after the other."""
    from fedlayers.studies.launching.launch import launch, launches

    if launches(sweep.master.hydra.launcher):
        launch(sweep)
        return
    from fedlayers.engines.ray.worker_pool import workers_kept

    with workers_kept():
        if not sweep.is_plain:
            _hydra(Arguments({"--multirun": ""}, arguments.overrides).words, job)
            return
        # Hydra would compose every run twice more.
        for number, (config, words) in enumerate(zip(sweep.configs, sweep.overrides, strict=True), 1):
            print(f"run {number} of {len(sweep.configs)}: {' '.join(words)}", flush=True)
            carry_out(config)


def _hydra(words: Sequence[str], task: Callable[[DictConfig], Any]) -> None:
    """Let Hydra's main function do its work for these words; its exceptions come through."""
    entry = hydra.main(version_base="1.3", config_path=config_dir(), config_name="config")(task)
    argv, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [argv[0], *words]
    # Otherwise Hydra prints its own account of an exception and leaves.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        with reading_once():
            entry()
    except SystemExit as left:  # after --help
        if left.code:
            raise
    finally:
        sys.argv = argv
        os.environ.pop("HYDRA_FULL_ERROR")
        if full_error is not None:
            os.environ["HYDRA_FULL_ERROR"] = full_error


def _show_help(words: Sequence[str], task: Callable[[DictConfig], None]) -> None:
    """Show Hydra's help with lines that fit; some groups have many options."""
    with redirect_stdout(io.StringIO()) as shown:
        _hydra(words, task)
    for line in shown.getvalue().splitlines():
        long = len(line) > _WIDTH
        print(textwrap.fill(line, _WIDTH, subsequent_indent="  ", break_on_hyphens=False) if long else line)


def _announce(content: DictConfig, words: Sequence[str]) -> None:
    """Say which data set is used if nobody chose one."""
    chosen = any(word.startswith(("dataset=", "+experiment=")) for word in words)
    if not chosen and content.hydra.runtime.choices.dataset == "digits":
        print(
            "data set: digits (scikit-learn's bundled handwritten digits); "
            "choose another with +dataset=FMNIST, and see all with --help",
            flush=True,
        )


def _study_folder(config: Config) -> Path:
    """Return the study folder, once it is sure that it can be written."""
    study = Path(config.results_dir) / config.study
    nearest = next(folder for folder in (study, *study.absolute().parents) if folder.exists())
    place = f"results_dir={config.results_dir}"
    if not nearest.is_dir():
        raise UserError(f"{place} needs a folder, but {nearest} is a file; choose another results_dir")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{place} cannot be written (no permission in {nearest}); choose another results_dir")
    return study
