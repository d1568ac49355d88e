import math
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

import fedlayers
from fedlayers.commands.main import start
from fedlayers.commands.search import carry_out_search, is_search, validation_loss
from fedlayers.config.arguments import read_arguments
from fedlayers.config.compose import composed, hydra_ready
from fedlayers.core.errors import UserError
from tests.conftest import QUICK
from tests.support.scored_runs import write_scored


def test_a_search_is_what_another_sweeper_decides() -> None:
    assert is_search(["seed=0,1", "hydra/sweeper=optuna"])
    assert not is_search(["seed=0,1"]) and not is_search(["hydra/sweeper=basic"])


def test_the_objective_is_the_lowest_validation_loss(tmp_path: Path) -> None:
    rounds = {1: [0.4, 0.4], 2: [0.7, 0.7], 3: [0.9, 0.9]}
    assert validation_loss(write_scored(tmp_path, "fedavg", 0, rounds, validation_loss=[2.0, 1.25, 1.5])) == 1.25
    assert validation_loss(write_scored(tmp_path, "fedavg", 1, [0.5], validation_loss=math.nan)) == math.inf
    assert validation_loss(write_scored(tmp_path, "fedavg", 2, [0.5], status="failed")) == math.inf


def test_a_sweeper_is_told_what_each_trial_comes_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*QUICK, f"results_dir={tmp_path}", "study=search", "engine=local", "training.lr=interval(0.01,0.1)"]
    trials = []

    def carry_out(task: Callable[[DictConfig], float]) -> None:
        for lr in (0.01, 0.1):
            with hydra_ready():
                content = composed([*words[:-1], f"training.lr={lr}"])
            trials.append(task(content))

    assert carry_out_search(words, carry_out) == 0
    assert "2 complete" in capsys.readouterr().out
    found = fedlayers.read(tmp_path / "search").records.query("metric == 'loss' and scope == 'client_val'")
    of_rounds = found[found["moment"] == "after_aggregate"].groupby(["run", "round"], observed=True)["value"].mean()
    assert sorted(trials) == pytest.approx(sorted(of_rounds.groupby(level=0, observed=True).min()))


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        (
            "hydra/launcher=local",
            "hydra/launcher starts runs all at once: leave it out, for a search decides as it goes",
        ),
        ("seed=0", "hydra/sweeper=optuna needs Hydra's sweeper for it: pip install 'hydra-optuna-sweeper"),
    ],
)
def test_what_a_search_cannot_do_is_said(word: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedlayers.commands.search._there", lambda sweeper: False)
    with pytest.raises(UserError, match=sentence):
        start(read_arguments(["-m", "hydra/sweeper=optuna", "training.lr=interval(0.01,0.1)", word]))
