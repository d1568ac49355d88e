"""Writes finished runs in the files of another program: ``python -m fedlayers.export FORMAT RUN_OR_STUDY``.

What export=[FORMAT] does at the end of a run, for one that is there already; never twice for the same run.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fedlayers.commands.command import carried_out
from fedlayers.commands.opening import open
from fedlayers.config.compose import compose_config
from fedlayers.config.options import options
from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import DiskError
from fedlayers.runs.reading.run_facts import complete_runs_in

_EXAMPLES = """examples:
  python -m fedlayers.export chain results/main/<run>                runs/<data set>/<model>/<number>_<date>/
  python -m fedlayers.export chain results/main --out elsewhere      every complete run of a study
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what the command line names and print where; return the exit code: 0, or 1 if something went wrong."""
    words = _parser().parse_args(arguments)
    return carried_out(lambda: _export(words.format, words.folders, words.out))


def _export(name: str, folders: Sequence[Path], out: Path | None) -> int:
    # torch and matplotlib take seconds: --help does without.
    from fedlayers.export.exporter import exporters

    chosen = compose_config([f"export=[{name}]"]).export
    if out is not None:
        chosen[name]["folder"] = str(out)
    exporter, code = exporters(chosen)[name], 0
    for run in complete_runs_in(folders):
        try:
            written = exporter.write(open(run))
        except DiskError:
            raise  # the others would fail as well
        except UserError as error:
            print(error, file=sys.stderr)
            code = 1
        else:
            print(written.folder, *(f"note: {note}" for note in written.notes), sep="\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fedlayers.export",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("format", choices=options()["export"], metavar="FORMAT", help=", ".join(options()["export"]))
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="RUN_OR_STUDY", help="results/<study>/<run> or results/<study>"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="instead of the format's own folder")
    return parser
