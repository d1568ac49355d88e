"""Writes finished runs for other programs: ``python -m fedlayers.export RUN_OR_STUDY --to FORMAT``.

What export=[FORMAT] and tracking=[FORMAT] do for a run that they were chosen for, for one that is there already; never
twice for the same run.
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
  python -m fedlayers.export results/main/<run> --to chain           runs/<data set>/<model>/<number>_<date>/
  python -m fedlayers.export results/main --to tensorboard,mlflow    every complete run of a study
  python -m fedlayers.export results/main --to hetvis --out mine     in a folder of your own
"""
# Of the configuration; their options are formats.
_GROUPS = ("export", "tracking")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what the command line names and print where; return the exit code: 0, or 1 if something went wrong."""
    words = _parser().parse_args(arguments)
    return carried_out(lambda: _export(words.to, words.folders, words.out))


def _export(names: Sequence[str], folders: Sequence[Path], out: Path | None) -> int:
    # torch and matplotlib take seconds: --help does without.
    from fedlayers.export.exporter import exporters

    groups = {name: next(group for group in _GROUPS if name in options()[group]) for name in names}
    config = compose_config(
        [f"{group}=[{','.join(name for name in names if groups[name] == group)}]" for group in _GROUPS]
    )
    chosen = {name: getattr(config, group)[name] for name, group in groups.items()}
    for name, node in chosen.items():
        if out is not None and "folder" not in node:
            raise UserError(f"--out is a folder, and {name} writes to none: leave it out")
        if out is not None:
            node["folder"] = str(out)
    code = 0
    for exporter in exporters(chosen).values():
        for run in complete_runs_in(folders):
            try:
                written = exporter.write(open(run))
            except DiskError:
                raise  # the others would fail as well
            except UserError as error:
                print(error, file=sys.stderr)
                code = 1
            else:
                print(written.where, *(f"note: {note}" for note in written.notes), sep="\n")
    return code


def _parser() -> argparse.ArgumentParser:
    formats = [name for group in _GROUPS for name in options()[group]]
    parser = argparse.ArgumentParser(
        prog="python -m fedlayers.export",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="RUN_OR_STUDY", help="results/<study>/<run> or results/<study>"
    )
    parser.add_argument(
        "--to",
        required=True,
        type=_formats,
        metavar="FORMAT",
        help=f"one or, with commas, more of {', '.join(formats)}",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="instead of the format's own folder")
    return parser


def _formats(text: str) -> list[str]:
    known = [name for group in _GROUPS for name in options()[group]]
    names = [name.strip() for name in text.split(",")]
    if strange := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"{strange[0]!r} is none of {', '.join(known)}")
    return names
