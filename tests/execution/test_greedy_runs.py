"""Greedy learners in whole runs: every algorithm, personal layers, what is carried, cohorts, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clients.learners.base import Task
from clients.learners.end_to_end import EndToEnd
from fedlayers import read
from fedlayers.core.errors import UserError
from fedlayers.core.weights import from_safetensors_bytes

Run = Callable[..., Path]
Tables = Callable[[Path], Any]
CHAIN = ["model=greedy_mlp", "model.width=12", "model.layers=3", "engine=local"]
ONE = ["model=greedy_mlp", "model.width=12", "model.layers=1", "engine=local", "rounds=1"]
ALGORITHMS = [
    ["fedprox", "algorithm.mu=0.5", "training.optimizer=adam", "training.clip_norm=1"],
    ["local", "training.optimizer_state=carried"],
    ["scaffold", "training.momentum=0"],
    ["centralized", "training.schedule=cosine", "training.schedule_by=step", "training.warmup=2"],
    ["flower", "algorithm.strategy._target_=flwr.serverapp.strategy.FedProx", "algorithm.strategy.proximal_mu=0.3"],
]


@pytest.mark.parametrize("words", ALGORITHMS, ids=lambda words: words[0])
def test_every_algorithm_trains_so_and_one_layer_is_end_to_end(
    quick_run: Run, tables: Tables, words: list[str]
) -> None:
    name, *rest = words
    given = [*ONE, f"algorithm={name}", *(f"+{word}" if "proximal" in word else word for word in rest)]
    greedy = quick_run(*given)
    assert tables(greedy) == tables(quick_run(*given, "learner=end_to_end"))
    records = read(greedy).records
    assert not records[records.metric == "training_loss"].value.isna().any()


def test_later_layers_stay_personal_and_what_is_stopped_goes_on(quick_run: Run, tables: Tables, tmp_path: Path) -> None:
    words = [*CHAIN, "plan=personal", "plan.personal=[fc2,fc3]", "training.optimizer=adam"]
    words += ["training.optimizer_state=carried", "snapshots.clients=true", "training.lr=0.01"]
    whole = quick_run(*words)
    quick_run(*words, "rounds=1", folder=tmp_path)
    assert tables(quick_run(*words, folder=tmp_path)) == tables(whole)
    kept = [from_safetensors_bytes(path.read_bytes()) for path in (whole / "snapshots").glob("client*.safetensors")]
    assert len(kept) == 4
    for name in ("fc2.weight", "fc3.weight"):
        assert len({own[name].numpy().tobytes() for own in kept}) == 4


def test_it_is_another_run_than_end_to_end_and_says_so(quick_run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["model=greedy_mlp", "model.width=8", "engine=local", "rounds=1", "training.cohort=2", "progress=plain"]
    greedy = quick_run(*words)
    told = "".join(capfd.readouterr()).splitlines()
    assert "note: clients train one by one, not several as one: learner Greedy has steps of its own" in told
    short = "10 classes have no orthonormal anchors in 8 dimensions: they are random directions"
    assert [line for line in told if short in line] == [f"note: {short}"]
    other = quick_run(*words, "learner=end_to_end")
    assert greedy.name != other.name
    losses = [
        read(run).records.query("metric == 'loss' and owner == 'server'").value.tolist() for run in (greedy, other)
    ]
    assert losses[0] != losses[1]


def test_stages_of_another_model_and_learners_of_ones_own(quick_run: Run, tables: Tables) -> None:
    plain = quick_run("rounds=1", "engine=local")
    own = "learner._target_=tests.execution.test_greedy_runs.halved"
    assert tables(quick_run("rounds=1", "engine=local", own, "+learner.factor=1.0")) == tables(plain)
    assert tables(quick_run("rounds=1", "engine=local", own, "+learner.factor=0.5")) != tables(plain)
    assert tables(quick_run("rounds=1", "engine=local", "learner=greedy")) != tables(plain)


def halved(task: Task, factor: float) -> EndToEnd:
    """Return a learner of one's own, which trains end to end at another rate."""
    assert isinstance(task.lr, float)
    return EndToEnd(task.network, task.training, factor * task.lr, hooks=task.hooks, objective=task.objective)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["learner=greedy", "model.hidden=[]"], "model must be a network with stages, .* got none in MLP"),
        (["learner=mono_forward"], "learner=mono_forward must have a model with a classifier for each stage, got MLP"),
        (["learner=forward_forward"], "learner=forward_forward must have a model that sees labels, got MLP"),
        (["model=forward_forward", "learner=greedy", "model.width=8"], "learner=greedy must have a model that answers"),
        (
            [*CHAIN, "learner.lambda_ace=[0.1]"],
            r"learner\.lambda_ace must be 0 or more, or a list of 2, .* got \[0\.1\]",
        ),
        ([*CHAIN, "learner.ace_variant=kl"], r"learner\.ace_variant must be one of ce_i_next, .* got 'kl'"),
        (["model=greedy_mlp", "model.layers=0"], r"model\.layers must be 1 or more, got 0"),
        (["+learner.width=3"], r"learner\.width: end_to_end has no argument 'width'"),
        (["learner=gredy"], "did you mean learner=greedy"),
        (
            ["learner._target_=builtins.dict"],
            r"learner\._target_ must be a subclass of clients\.learners\.base\.Learner",
        ),
    ],
)
def test_what_does_not_fit_is_told_before_the_first_round(quick_run: Run, words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        quick_run(*words)
