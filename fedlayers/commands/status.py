"""Where the runs of a study stand: done, running, waiting, interrupted or failed, read from its folder.

``python -m fedlayers.status results/<study>`` may be called at any time and from any machine that sees the folder;
``--watch`` repeats it until no run is under way. ``--forget`` drops expected runs that nobody will start.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rich.live import Live

from fedlayers.commands.command import carried_out
from fedlayers.core.machine.streams import output_is_gone
from fedlayers.core.machine.terminal import console, fitted, show
from fedlayers.studies.forgetting import forget
from fedlayers.studies.status import UNDER_WAY, status_table, study_status


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the study named on the command line; return the exit code: 0, or 1 if there is nothing to show."""
    parser = argparse.ArgumentParser(prog="python -m fedlayers.status", description=__doc__)
    parser.add_argument("study", type=Path, help="the study folder, such as results/main")
    parser.add_argument(
        "--watch", type=float, nargs="?", const=10.0, metavar="SECONDS", help="show it again every so often (10)"
    )
    parser.add_argument("--all", action="store_true", help="list every run, also where many are in the same state")
    parser.add_argument(
        "--forget",
        nargs="*",
        metavar="RUN",
        help="drop what a changed sweep has left: runs that are missing, or failed before they had a folder; with "
        "names (or patterns such as '*-s3-*') any run that is not under way, whose folder moves to .old/",
    )
    chosen = parser.parse_args(arguments)
    return carried_out(lambda: _main(chosen))


def _main(chosen: argparse.Namespace) -> int:
    most = None if chosen.all else 20
    if chosen.forget is not None:
        states = {one.run: one.state for one in study_status(chosen.study)}
        for line in forget(chosen.study, chosen.forget, states):
            print(line)
    elif chosen.watch is not None:
        with suppress(KeyboardInterrupt):
            _watch(chosen.study, max(chosen.watch, 0.1), most)
    else:
        show(status_table(study_status(chosen.study), most, console().width))
    return 0


def _watch(study: Path, seconds: float, most: int | None) -> None:
    """Show the study anew in the same place until no run is under way."""
    out = console()
    with Live(console=out, auto_refresh=False) as live:
        while True:
            runs = study_status(study)
            live.update(fitted(status_table(runs, most, out.width)), refresh=True)
            if output_is_gone() or not any(one.state in UNDER_WAY for one in runs):
                return
            time.sleep(seconds)
