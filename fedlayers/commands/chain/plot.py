"""Draws figures of layers as a chain: of one run, of several side by side, or of a study.

A PLOT is one of those below; without one all are drawn. The figures are those of python -m fedlayers.plot, which has
more of them and more options; --metric and --layer also take the names of the chain of metric predictors (linear_cka,
layer_0). Of one run or study files go to figures/ in it, of several to comparison/ here, unless --out is given.
"""

import argparse
import webbrowser
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fedlayers.commands.command import carried_out
from fedlayers.core.errors import UserError
from fedlayers.core.spelling import in_brackets
from fedlayers.runs.reading.run_facts import is_run, run_facts

if TYPE_CHECKING:
    from fedlayers.figures.drawing.drawable import Drawing
    from fedlayers.runs.reading.tables import Tables

PROG = "python -m fedlayers.chain plot"
# A plot -> the kind of figure, and what it shows.
PLOTS: Mapping[str, tuple[str, str]] = {
    "training-curves": ("learning_curves", "loss and accuracy over rounds"),
    "confusion": ("confusion_matrix", "which class was taken for which (--normalize, --labels)"),
    "heatmap": ("heatmap", "a metric by layer and round, of several runs by layer and run (--metric)"),
    "train-val": ("train_val_comparison", "training against validation (--metric)"),
    "overview": ("all_metrics_overview", "every metric over time, a line per layer (--phase)"),
    "distributions": ("metric_distributions", "how the values of each metric are spread (--phase)"),
    "architecture-comparison": ("architecture_comparison", "of several runs: model against model (--metric)"),
    "correlation": ("correlation_matrix", "which metrics go together (--phase)"),
    "layer-progression": ("layer_progression", "each metric from layer to layer (--phase)"),
    "timeline": ("timeline", "one metric over time (--metric, --layer)"),
    "multi-run": ("multi_run", "of several runs: one metric over time (--metric, --layer)"),
    "layerwise": ("layer_profile", "one metric over the layers (--metric)"),
    "research-questions": ("research_questions", "are later layers more predictive, compressing, different"),
}
_PHASES = {"train": "after_local", "val": "after_aggregate"}
_EXAMPLES = """examples:
  python -m fedlayers.chain plot results/main/<run>                                          all of them
  python -m fedlayers.chain plot results/main/<run> confusion --normalize --labels cat,dog   named classes
  python -m fedlayers.chain plot results/main/<run> timeline --metric probe_accuracy --layer fc1
  python -m fedlayers.chain plot results/main/<run> overview --phase train
  python -m fedlayers.chain plot results/main/<run> results/main/<other> multi-run --metric probe_accuracy
  python -m fedlayers.chain plot results/main research-questions --show
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw what the command line names and print the paths; return the exit code: 0, or 1 if something went wrong."""
    words = _parser().parse_intermixed_args(arguments)
    return carried_out(lambda: _plot(words))


def _plot(words: argparse.Namespace) -> int:
    # Matplotlib and pandas take a second: --help does without.
    from fedlayers.figures.draw import draw
    from fedlayers.figures.drawing.saving import FORMATS

    folders, plots = _folders_and_plots(words.words)
    formats = tuple(dict.fromkeys(words.formats.split(",")))
    if not set(formats) <= set(FORMATS):
        raise UserError(f"--formats must be some of {', '.join(FORMATS)} with commas between, got {words.formats}")
    tables = _tables(folders, words.phase)
    figures = _figures(tables, plots, words)
    place = words.out or (Path("comparison") if len(folders) > 1 else folders[0] / "figures")
    drawn = draw(figures, place, formats)
    for file in drawn:
        print(*(file.with_name(f"{file.stem}.{kind}") for kind in formats), sep="\n")
    for figure in figures:
        if figure.words is not None:
            print(f"\n{figure.words()}")
    if words.show and not all(webbrowser.open(file.resolve().as_uri()) for file in drawn):
        raise UserError("--show needs a program that shows pictures, and found none: open the files above")
    return 0 if len(drawn) == len(figures) else 1


def _folders_and_plots(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return which words are folders and which plots.

    Raises:
        UserError: a word is neither, or there is no folder.
    """
    plots = [word for word in words if word in PLOTS]
    folders = [Path(word) for word in words if word not in PLOTS]
    for folder in folders:
        if not folder.is_dir():
            meant = in_brackets(str(folder), PLOTS)
            raise UserError(
                f"{folder} is no folder and no plot{meant}: give runs or a study, and some of {', '.join(PLOTS)}"
            )
    if not folders:
        raise UserError("give the folder of a run or a study, such as results/main/<run>")
    return list(dict.fromkeys(folders)), plots


def _tables(folders: Sequence[Path], phase: str | None) -> "Tables":
    """Return the tables of one folder, or of several runs together."""
    from fedlayers.runs.reading.selection import Selection
    from fedlayers.runs.reading.tables import Tables, read

    filters = {"moment": _PHASES[phase]} if phase else {}
    if len(folders) == 1:
        return read(folders[0], **filters)
    for folder in folders:
        if not is_run(folder):
            raise UserError(f"{folder} is not a run folder: several folders are runs to compare, or give one study")
    if len({folder.name for folder in folders}) < len(folders):
        raise UserError("runs that are compared must have different names: copy one into a folder of another name")
    return Tables(Path("comparison"), tuple(folders), True, Selection.of(filters))


def _figures(tables: "Tables", plots: Sequence[str], words: argparse.Namespace) -> "list[Drawing]":
    """Return the figures of some plots, of all of them if none is named."""
    from fedlayers.commands.chain.confusions import confusions
    from fedlayers.figures.available import chosen, figures_in

    facts = run_facts(tables.runs[0]) if tables.runs else {}
    names = [str(layer["name"]) for layer in facts.get("layers") or ()]
    layers = [_layer(words.layer, names)] if words.layer else []
    metric, labels = words.metric, words.labels.split(",") if words.labels else ()
    kinds = [PLOTS[plot][0] for plot in plots or PLOTS]
    found: list[Drawing] = []
    if "confusion" in plots or not (plots or metric or layers):
        found += confusions(tables, facts, labels, words.normalize if plots else None)
    available = [
        one for one in figures_in(tables, None, layers) if one.family in kinds and one.family != "confusion_matrix"
    ]
    _refuse_without_training_examples(plots, available, metric, tables.path)
    metric = _metric(metric, available)
    wanted = [kind for kind in kinds if kind != "confusion_matrix"] if plots else []
    if wanted and not any(one.family in wanted for one in available):
        _refuse_without_phase(tables, words.phase)
    if wanted or not plots:
        found += chosen(available, wanted, metric, tables.path) if available or wanted else []
    if not found:
        raise UserError(
            f"{tables.path} holds nothing that could be drawn of that; python -m fedlayers.plot --list has all"
        )
    return found


def _refuse_without_phase(tables: "Tables", phase: str | None) -> None:
    """Raise UserError if layers were measured, and none at the moment that is asked for."""
    from fedlayers.runs.reading.selection import EVERYTHING

    moment = _PHASES.get(phase or "")
    if moment is not None:
        layers = replace(tables, selection=EVERYTHING).records.dropna(subset=["layer"])
        there = sorted(layers["moment"].unique())
        if there and moment not in there:
            raise UserError(
                f"--phase {phase} needs layers measured {moment}, and {tables.path} has them {', '.join(there)}: train "
                "it with metrics.readout.moments=[after_local,after_aggregate]"
            )


def _refuse_without_training_examples(
    plots: Sequence[str], available: "Sequence[Drawing]", metric: str | None, path: Path
) -> None:
    """Raise UserError if training is to be compared with validation, and what is asked of it was not measured."""
    kind = PLOTS["train-val"][0]
    there = [one.metric for one in available if one.family == kind]
    if list(plots) == ["train-val"] and (metric not in there if metric else not there):
        what = metric or "anything"
        has = f"; there is {', '.join(map(str, there))}" if there else ""
        raise UserError(
            f"{path} has no {what} of clients' models on training examples beside validation examples{has}: train it "
            "with metrics.evaluation.splits=[train,val,test]"
        )


def _metric(name: str | None, available: "Sequence[Drawing]") -> str | None:
    """Return our name of a metric that may be called as in the chain of metric predictors."""
    from fedlayers.export.chain.log_lines import QUANTITIES

    ours = {theirs: quantity for quantity, theirs in QUANTITIES.items()}
    return name if name in {one.metric for one in available} else ours.get(str(name), name)


def _layer(name: str, names: Sequence[str]) -> str:
    """Return our name of a layer that may be called ``layer_0``."""
    number = name.removeprefix("layer_")
    is_theirs = name not in names and name.startswith("layer_") and number.isdecimal() and int(number) < len(names)
    return names[int(number)] if is_theirs else name


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:24} {what}" for name, (_, what) in PLOTS.items())
    parser = argparse.ArgumentParser(
        prog=PROG,
        description=f"{__doc__}\nplots:\n{listed}",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="+", metavar="RUN_OR_STUDY_OR_PLOT", help="folders, and which plots of them")
    parser.add_argument("--metric", help="only this one metric")
    parser.add_argument("--layer", help="only this layer")
    parser.add_argument(
        "--phase",
        choices=tuple(_PHASES),
        help="models just after local training, or after averaging; each plot has its own",
    )
    parser.add_argument("--normalize", action="store_true", help="confusion: shares of each true class, not counts")
    parser.add_argument("--labels", metavar="NAMES", help="confusion: names of the classes, with commas between")
    parser.add_argument("--show", action="store_true", help="open the pictures as well")
    parser.add_argument("--formats", default="png", help="some of png, pdf, svg; png if not given")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder for the files")
    return parser
