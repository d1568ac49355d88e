"""Prepares a run for a look at its clients: ``python -m fedlayers.heterogeneity RUN``.

Trains each client's stand-alone model (``algorithm=local`` with otherwise the run's settings, in RUN/standalone) unless
a run of the study has them, and works out what ``python -m fedlayers.explore`` is asked first, so that nobody waits for
it. Started again, it does only what is missing.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fedlayers.commands.command import carried_out

_EXAMPLES = """examples:
  python -m fedlayers 'snapshots.rounds=[all]' snapshots.clients=true     a run that keeps its models
  python -m fedlayers.heterogeneity results/main/<run>
  python -m fedlayers.heterogeneity results/main/<run> --second           with a null level of disagreement
  python -m fedlayers.explore results/main/<run> --open
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the run that the command line names; return the exit code: 0, or 1 for a mistake."""
    words = _parser().parse_args(arguments)
    return carried_out(lambda: _prepare(words.folder, words.second))


def _prepare(folder: Path, second: bool) -> int:
    # Torch and Flower take seconds: --help does without.
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from fedlayers.commands.opening import open
    from fedlayers.core.machine.cache_root import cache_root
    from fedlayers.execution.execute import execute
    from fedlayers.explore.slow.beforehand import work_out
    from fedlayers.explore.slow.kept import Kept
    from fedlayers.heterogeneity.standalone import FOLDER, standalone_run, trained_alone

    run = open(folder)
    for other_seed in (False, True) if second else (False,):
        alone = standalone_run(run, other_seed)
        beside = replace(trained_alone(run.config, other_seed), results_dir=str(run.folder), study=FOLDER)
        where = execute(beside) if alone is None else alone.folder
        print(f"{'second stand-alone' if other_seed else 'stand-alone'} models: {where}")

    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, transient=True) as shown:
        task = shown.add_task("", total=1)

        def progress(share: float | None, what: str) -> None:
            shown.update(task, completed=share or 0, description=what)

        refused = work_out(run.folder.resolve(), Kept(cache_root() / "explore"), progress)
    for sentence in dict.fromkeys(refused):
        print(f"note: {sentence}")
    print(f"look at it: python -m fedlayers.explore {folder} --open")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fedlayers.heterogeneity",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--second",
        action="store_true",
        help="train models with another seed, too: how far they disagree is the null level",
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="results/<study>/<run>")
    return parser
