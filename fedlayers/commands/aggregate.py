"""One table for a study: all complete runs' records with the run facts as columns.

``python -m fedlayers.aggregate results/<study>`` may be called at any time, also while runs go on.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fedlayers.commands.command import carried_out
from fedlayers.studies.aggregate import aggregate


def main(arguments: Sequence[str] | None = None) -> int:
    """Aggregate the study named on the command line; return the exit code: 0, or 1 if there is nothing."""
    parser = argparse.ArgumentParser(prog="python -m fedlayers.aggregate", description=__doc__)
    parser.add_argument("study", type=Path, help="the study folder, such as results/main")
    study = parser.parse_args(arguments).study
    return carried_out(lambda: _main(study))


def _main(study: Path) -> int:
    report = aggregate(study)
    print(report, file=sys.stdout if report.table else sys.stderr)
    return 0 if report.table else 1
