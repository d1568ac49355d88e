"""Tests the models of finished runs again: accuracy, confusion matrix and class report, as text and as files.

A run's best model is tested (lowest loss on the clients' validation examples) unless --checkpoint last is given, on the
server's test set. RUN/evaluation/<checkpoint>/ then holds test_results.json, confusion.npy, class_report.json,
confusion_matrix.png and confusion_matrix_normalized.png.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fedlayers.commands.command import carried_out
from fedlayers.opening.run import Run
from fedlayers.runs.reading.run_facts import complete_runs_in

PROG = "python -m fedlayers.chain evaluate"
_EXAMPLES = """examples:
  python -m fedlayers.chain evaluate results/main/<run>                       the best model, on the server's test set
  python -m fedlayers.chain evaluate results/main/<run> --checkpoint last     the last one
  python -m fedlayers.chain evaluate results/main/<run> --clients             also on each client's test set
  python -m fedlayers.chain evaluate results/main                             every complete run of a study
  python -m fedlayers.chain evaluate results/main/<run> --labels cat,dog,eel  other names for the classes
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Test what the command line names; return the exit code: 0, or 1 if something went wrong."""
    words = _parser().parse_args(arguments)
    return carried_out(lambda: _evaluate(words))


def _evaluate(words: argparse.Namespace) -> int:
    # torch and matplotlib take seconds: --help does without.
    from fedlayers.commands.chain.testing import tested_again

    labels = words.labels.split(",") if words.labels else []
    for run in complete_runs_in(words.folders):
        tested_again(Run(run), words.checkpoint, words.clients, labels)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG, description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="RUN_OR_STUDY", help="results/<study>/<run> or results/<study>"
    )
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help="which model; best if not given")
    parser.add_argument("--clients", action="store_true", help="also on each client's own test set")
    parser.add_argument("--labels", metavar="NAMES", help="names of the classes, with commas between")
    return parser
