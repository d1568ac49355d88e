"""Trains a chain of layers, tests it, draws everything, and says what came out.

  python -m fedlayers.chain CONFIG_OR_OVERRIDES          all of it, and the answers to three questions: are later layers
                                                         more predictive, do layers compress, do they differ
  python -m fedlayers.chain train CONFIG_OR_OVERRIDES    training alone
  python -m fedlayers.chain evaluate RUN                 accuracy, confusion matrix and class report of a finished run
  python -m fedlayers.chain plot RUN [RUN ...]           figures of one run, or of several side by side

CONFIG is an experiment such as chain/mnist, or a YAML file written like one; overrides are settings, key=value. Without
both CONFIG and metrics=, metrics=[evaluation,readout] are measured.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fedlayers.commands.chain import evaluate, plot, train
from fedlayers.commands.chain.arguments import chain_arguments, training_parser
from fedlayers.commands.main import carried_out_or_continued, start
from fedlayers.commands.reading import read
from fedlayers.config.arguments import Arguments
from fedlayers.config.compose import compose_config
from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import UserError
from fedlayers.opening.run import Run
from fedlayers.runs.reading.run_facts import is_complete
from fedlayers.studies.study import compose_sweep

_EXAMPLES = """examples:
  python -m fedlayers.chain model=mlp model.hidden=[64,64,64,64] rounds=20
  python -m fedlayers.chain mine.yaml seed=1
  python -m fedlayers.chain -m model=mlp model.hidden=[64,64,64,64] seed=0,1,2
  python -m fedlayers.chain evaluate results/main/<run> --clients
"""
_COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "train": train.main,
    "evaluate": evaluate.main,
    "plot": plot.main,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; return the exit code: 0, 1 after a failure, 128 + signal if stopped."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in _COMMANDS:
        return _COMMANDS[words[0]](words[1:])
    found = training_parser("python -m fedlayers.chain", __doc__, _EXAMPLES).parse_intermixed_args(words)
    return carried_out_or_continued(lambda: _everything(chain_arguments(found)))


def _everything(arguments: Arguments) -> int:
    """Train, test and draw; the list of files and the answers come last."""
    configs = _configs(arguments)
    code = start(arguments)
    if code:
        return code
    from fedlayers.commands.chain.outputs import files_of
    from fedlayers.runs.folder import run_folder

    runs = [run for config in configs if is_complete(run := run_folder(config))]
    for run in runs:
        _test(run)
    for folder in runs if len(configs) == 1 else dict.fromkeys(run.parent for run in runs):
        if configs[0].figures:
            _draw_all(folder)
        print(files_of(folder))
        if told := read(folder).answers().text:
            print(f"\n{told}")
    return 0


def _configs(arguments: Arguments) -> Sequence[Config]:
    """Return the configuration of each run."""
    if "--multirun" in arguments.flags:
        return compose_sweep(arguments.overrides).configs
    return [compose_config(arguments.overrides)]


def _test(run: Path) -> None:
    """Test the best model of a run, or the last one where none is best; say why if there is none to test."""
    from fedlayers.commands.chain.testing import tested_again

    opened = Run(run)
    try:
        tested_again(opened, "best" if opened.facts.get("best") else "last")
    except UserError as error:
        print(f"not tested: {error}", file=sys.stderr)


def _draw_all(folder: Path) -> None:
    """Draw the figures that training has left out."""
    from fedlayers.figures.available import figures_of
    from fedlayers.figures.draw import draw

    place = folder / "figures"
    missing = [one for one in figures_of(folder) if not (one.main and (place / f"{one.name}.png").is_file())]
    draw(missing, place, ("png",))
