"""docs/how-to/chain-commands.md: every command of ours is one that can be given."""

import re
import shlex

import pytest

from fedlayers.commands.chain import evaluate, plot
from fedlayers.commands.chain.arguments import chain_arguments, training_parser
from fedlayers.config.compose import compose_config
from fedlayers.config.options import known_keys
from fedlayers.studies.study import compose_sweep
from tests.support.doc_pages import Page

PAGE = Page("docs/how-to/chain-commands.md")
FOUND = re.findall(r"`(python -m fedlayers\.chain [^`]+)`", PAGE.text)
COMMANDS = sorted({*FOUND, *(line for line in PAGE.lines() if line.startswith("python -m fedlayers.chain"))})


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if not re.search(r"\.chain (plot|evaluate)", command)]
)
def test_what_trains_composes(command: str) -> None:
    words = shlex.split(command)[3:]
    arguments = chain_arguments(training_parser("", None, "").parse_intermixed_args([w for w in words if w != "train"]))
    if "--multirun" in arguments.flags:
        assert len(compose_sweep(arguments.overrides).configs) > 1
    else:
        assert "readout" in compose_config(arguments.overrides).metrics


def test_what_draws_and_tests_is_understood() -> None:
    drawn = set()
    for command in COMMANDS:
        words = shlex.split(command)[4:]
        if " plot " in command:
            drawn |= {
                word for word in plot._parser().parse_intermixed_args(words).words if word not in ("RUN", "STUDY")
            }
        elif " evaluate " in command:
            assert evaluate._parser().parse_args(words).folders
    assert drawn == set(plot.PLOTS)


def test_settings_are_keys() -> None:
    settings = PAGE.text.partition("## Settings")[2].partition("## Files")[0]
    known = {*known_keys(["model=greedy_mlp", "learner=greedy", "metrics=[readout]"]), "model.theta"}
    named = set(re.findall(r"`((?:model|learner|training|metrics)\.[\w.]+)", settings))
    assert named - known == set() and len(named) > 15
