"""The words of ``python -m fedlayers.chain``: an experiment or its settings, as the main command takes them."""

import argparse

from fedlayers.config.arguments import Arguments, read_arguments
from fedlayers.config.experiments import experiment_word
from fedlayers.core.errors import UserError

# What answers the three questions, and costs little, where nobody says what is measured.
_MEASURED = "metrics=[evaluation,readout]"


def training_parser(prog: str, description: str | None, epilog: str) -> argparse.ArgumentParser:
    """Return what reads the words of a command that trains; :func:`chain_arguments` takes what it found."""
    parser = argparse.ArgumentParser(
        prog=prog, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="CONFIG_OR_OVERRIDE",
        help="an experiment or a YAML file, and settings as key=value: python -m fedlayers --help lists them",
    )
    parser.add_argument(
        "-m", "--multirun", action="store_true", help="a sweep: every combination of values with commas"
    )
    return parser


def chain_arguments(found: argparse.Namespace) -> Arguments:
    """Return the main command's arguments for those of the chain's: the word without ``=`` names an experiment.

    Without an experiment and without ``metrics=`` the metrics are measured that answer the three questions.

    Raises:
        UserError: for a slip.
    """
    names = [word for word in found.words if "=" not in word]
    others = [word for word in found.words if "=" in word]
    if len(names) > 1:
        raise UserError(f"there can be one experiment, got {' and '.join(names)}: settings are written key=value")
    chosen = [experiment_word(name) for name in names]
    keys = {word.partition("=")[0].lstrip("+") for word in others}
    measured = [] if chosen or {"metrics", "experiment"} & keys else [_MEASURED]
    return read_arguments([*chosen, *measured, *others, *(["-m"] if found.multirun else [])])
