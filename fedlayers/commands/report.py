"""Writes a report of a run or a study as one HTML file: ``python -m fedlayers.report RUN_OR_STUDY [--out FILE]``.

The file holds its data and needs no server and no network: copy it anywhere and open it in a browser. A slider goes
through the rounds of matrices between clients and of layer profiles; a study's report has a choice of the run.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fedlayers.commands.command import carried_out

_EXAMPLES = """examples:
  python -m fedlayers.report results/main/<run>                    results/main/<run>/report.html
  python -m fedlayers.report results/main                          all runs of a study: results/main/report.html
  python -m fedlayers.report results/main/<run> --out paper.html
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report that the command line names and print its path; return the exit code: 0, or 1 for a mistake."""
    words = _parser().parse_args(arguments)
    return carried_out(lambda: _write(words.folder, words.out))


def _write(folder: Path, out: Path | None) -> int:
    # Pandas and the metrics' facts take seconds: --help does without.
    from fedlayers.report.page import write_report

    print(write_report(folder, out))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fedlayers.report",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="RUN_OR_STUDY", help="results/<study>/<run> or results/<study>")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file; report.html in RUN_OR_STUDY if not given")
    return parser
