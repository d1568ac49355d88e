"""Draws figures again from the tables of a run or a study: ``python -m fedlayers.plot RUN_OR_STUDY [figure ...]``.

Without a figure's name all are drawn that the tables suffice for. A name may be that of a kind, such as
``layer_profile``, or of one figure, such as ``layer_profile_norm``. Figures of a study average its complete runs.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from fedlayers.commands.command import carried_out
from fedlayers.core.errors import UserError

_EXAMPLES = """examples:
  python -m fedlayers.plot results/main/<run>                           all figures of a run
  python -m fedlayers.plot results/main/<run> --list                    their names
  python -m fedlayers.plot results/main/<run> learning_curves partition
  python -m fedlayers.plot results/main/<run> layer_profile --metric update_norm
  python -m fedlayers.plot results/main/<run> --metric cka --round 1    all figures of CKA, of round 1
  python -m fedlayers.plot results/main research_questions              a figure, and its answers in words
  python -m fedlayers.plot results/main --formats pdf --out paper       means over the runs of a study
  python -m fedlayers.plot results/main/<run> learning_curves --width 3.3 --font-size 8 --no-title --band ci
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw what the command line names and print the paths; return the exit code: 0, or 1 if something went wrong."""
    words = _parser().parse_intermixed_args(arguments)
    return carried_out(lambda: _plot(words))


def _plot(words: argparse.Namespace) -> int:
    # Matplotlib and pandas take a second: --help does without.
    from fedlayers.figures.available import chosen, figures_of
    from fedlayers.figures.draw import draw
    from fedlayers.figures.drawing.paper import Paper
    from fedlayers.figures.drawing.saving import FORMATS

    folder: Path = words.folder
    formats = tuple(dict.fromkeys(words.formats.split(",")))
    if not set(formats) <= set(FORMATS):
        raise UserError(f"--formats must be some of {', '.join(FORMATS)} with commas between, got {words.formats}")
    asked = {name: value for name in Paper.settings() if (value := getattr(words, name)) is not None}
    paper = Paper(**asked)
    available = figures_of(folder, words.round, words.layers.split(",") if words.layers else ())
    if not available:
        raise UserError(f"{folder} holds nothing that could be drawn yet: wait for its first round")
    figures = chosen(available, words.figures, words.metric, folder)
    if words.list:
        print("\n".join(figure.name for figure in figures))
        return 0
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    drawn = draw(figures, words.out or folder / "figures", formats, paper)
    for file in drawn:
        print(*(file.with_name(f"{file.stem}.{kind}") for kind in formats), sep="\n")
    for figure in figures:
        if figure.words is not None:
            print(f"\n{figure.words()}")
    return 0 if len(drawn) == len(figures) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fedlayers.plot",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="RUN_OR_STUDY", help="results/<study>/<run> or results/<study>")
    parser.add_argument("figures", nargs="*", metavar="figure", help="names of figures, or of kinds; none: all")
    parser.add_argument("--metric", help="only figures that show this one metric")
    parser.add_argument("--round", type=int, help="this round instead of the first and the last one measured")
    parser.add_argument("--formats", default="png,pdf", help="some of png, pdf, svg; png,pdf if not given")
    parser.add_argument("--layers", help="only these layers, with commas between")
    parser.add_argument(
        "--band", help="sd (± standard deviation), ci (95 %% interval) or range, instead of the figure's"
    )
    parser.add_argument("--width", type=float, help="inches; the height follows")
    parser.add_argument("--font-size", type=float, help="points of labels; 9 if not given")
    parser.add_argument("--no-title", dest="title", action="store_const", const=False, help="leave the title out")
    parser.add_argument("--out", type=Path, help="folder for the files; figures/ in RUN_OR_STUDY if not given")
    parser.add_argument("--list", action="store_true", help="print the names of the figures instead of drawing them")
    return parser
