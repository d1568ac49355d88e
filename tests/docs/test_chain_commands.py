"""docs/how-to/chain-commands.md: every command of ours is one that can be given, and finds what it is to draw."""

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fedlayers.commands.chain import evaluate, plot
from fedlayers.commands.chain.arguments import chain_arguments, training_parser
from fedlayers.config.compose import compose_config
from fedlayers.config.options import known_keys
from fedlayers.figures.drawing.drawable import Drawing
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


@pytest.fixture(scope="module")
def study(quick_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A chain and the same network end to end, measured as chain/mnist has it."""
    words = ["metrics=[evaluation,readout]", "metrics.readout.permutations=0", "probe.size=40", "model.layers=2"]
    words += ["metrics.evaluation.splits=[train,val,test]", "model.width=12", "algorithm=centralized", "engine=local"]
    folder = tmp_path_factory.mktemp("results")
    folder = tmp_path_factory.mktemp("results")
    return [quick_run(f"model={name}", *words, folder=folder) for name in ("greedy_mlp", "deep_mlp")]


@pytest.mark.parametrize("command", [command for command in COMMANDS if " plot " in command])
def test_what_draws_finds_its_figures(command: str, study: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Drawing] = []

    def draw(found: Sequence[Drawing], place: Path, formats: Sequence[str]) -> list[Path]:
        figures.extend(found)
        return [place / f"{one.name}.png" for one in found]

    monkeypatch.setattr("fedlayers.figures.draw.draw", draw)
    monkeypatch.setattr("webbrowser.open", lambda place: True)
    words, runs = shlex.split(command.replace("a,b", "a,b,c,d,e,f,g,h,i,j"))[4:], iter(study)
    given = {"RUN": lambda: str(next(runs)), "STUDY": lambda: str(study[0].parent)}
    assert plot.main([given.get(word, lambda word=word: word)() for word in words]) == 0
    named = {plot.PLOTS[word][0] for word in words if word in plot.PLOTS}
    assert named <= {one.family for one in figures} and figures


def test_settings_are_keys() -> None:
    settings = PAGE.text.partition("## Settings")[2].partition("## Files")[0]
    known = {*known_keys(["model=greedy_mlp", "learner=greedy", "metrics=[readout]"]), "model.theta"}
    named = set(re.findall(r"`((?:model|learner|training|metrics)\.[\w.]+)", settings))
    assert named - known == set() and len(named) > 15
