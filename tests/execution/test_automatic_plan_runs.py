"""Runs that choose by themselves which layers clients share: what is shared, why, and that nothing is lost."""

from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from flwr.app import ArrayRecord
from safetensors.numpy import load
from torch import nn

import fedlayers
from fedlayers import open as open_run
from fedlayers import read
from fedlayers.config.compose import compose_config
from fedlayers.core.errors import UserError
from fedlayers.core.federation import Examples
from fedlayers.execution.rounds import RoundLoop
from fedlayers.flower.adapter import records_of
from fedlayers.runs.client_state import unpack
from fedlayers.runs.folder import RunFolder
from tests.support.data_configs import REAL_DATA, needs_real_data

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
WORDS = ["engine=local", "partition=dirichlet", "metrics=[evaluation]"]
DEEP = ["model.hidden=[32,16,16]", "metrics.transition.batch_examples=8"]
# What is small enough for a test has no transition at the threshold of real networks.
FOUND = [*DEEP, "metrics.transition.thresholds.sensitivity=12"]
# A step on all examples, so that it can be repeated by hand.
ONE_STEP = ["training.momentum=0", "training.batch_size=100", "rounds=3"]
CHOSEN = [*WORDS, *FOUND, *ONE_STEP, "algorithm=playerfl", "snapshots.rounds=[all]", "snapshots.clients=true"]


@pytest.fixture(scope="module")
def chosen(quick_run: Run) -> Path:
    return quick_run(*CHOSEN)


def letters(run: Path, server_round: int) -> str:
    """Return s or p for each layer in a round, as the rows about all clients say it."""
    rows = read(run).records.query("metric == 'layer_shared' and round == @server_round")
    common = rows[rows.client.isna()].sort_values("layer_index")
    return "".join("s" if value else "p" for value in common.value)


def weights(run: Path, server_round: int, owner: str = "server") -> dict[str, np.ndarray]:
    return load((run / "snapshots" / f"{owner}@{server_round}.safetensors").read_bytes())


def test_layers_before_the_transition_are_shared_from_the_next_round_on_without_a_table(chosen: Path) -> None:
    assert letters(chosen, 1) == "ssss" and letters(chosen, 2) == "sspp"
    records = read(chosen).records
    (plan,) = records.query("metric == 'plan_prefix'").to_dict("records")
    assert (plan["value"], plan["layer"], plan["round"]) == (2, "fc2", 1)
    assert plan["reason"] == "before the transition of sensitivity after fc2 in round 1"
    rises = records.query("metric == 'layer_rise'")
    evidence = rises[rises.client.isna()]
    assert evidence.stderr.notna().all() and len(evidence) == 4
    assert records.query("metric == 'transition'").client.nunique() == 4
    state = records_of(unpack(chosen / "state" / "0@3"), ArrayRecord)["model"]
    assert set(state) == {"fc3.weight", "fc3.bias", "fc4.weight", "fc4.bias"}


def test_an_update_by_hand(chosen: Path) -> None:
    """φ is the clients' mean, ψ_k the client's own; both take a step along −∇F_k(φ, ψ_k)."""
    run, shared = open_run(chosen), ("fc1", "fc2")
    counts = read(chosen).partition.query("scope == 'client_train'").groupby("client").examples.sum()
    for server_round in (2, 3):
        mean, after = weights(chosen, server_round - 1), []
        for client in range(4):
            # Round 1 shared all layers: round 2 starts from its means.
            own = mean if server_round == 2 else weights(chosen, 2, f"client{client}")
            start = own | {name: mean[name] for name in mean if name.startswith(shared)}
            module = run.model(1, client)
            module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in start.items()})
            after.append(stepped(module, run.data.splits["client_train"][client]))
            found = weights(chosen, server_round, f"client{client}")
            for name, array in after[-1].items():
                np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-6)
        for name, array in weights(chosen, server_round).items():
            if name.startswith(shared):
                expected = np.average([one[name].astype(float) for one in after], 0, counts)
                np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-6)


def stepped(module: nn.Module, examples: Examples) -> dict[str, np.ndarray]:
    """Return the weights after a step of length 0.05 down the gradient of the mean loss of all examples."""
    features, labels = examples.batch(torch.arange(len(examples)))
    named = dict(module.named_parameters())
    slopes = torch.autograd.grad(nn.functional.cross_entropy(module(features), labels), list(named.values()))
    moved = {name: own - 0.05 * slope for (name, own), slope in zip(named.items(), slopes, strict=True)}
    return {name: tensor.detach().numpy() for name, tensor in moved.items()}


def test_where_no_transition_is_found_it_is_fedavg_bit_for_bit_and_says_so(quick_run: Run) -> None:
    plain, run = quick_run(*WORDS), quick_run(*WORDS, *DEEP[1:], "algorithm=playerfl", "plan.rule.fallback=all")
    assert RunFolder(run).checkpoint(2)[0] == RunFolder(plain).checkpoint(2)[0]
    own = "transition|layer_rise|layer_shared|plan_prefix"
    rest = [read(one).records.drop(columns="run").astype(object) for one in (run, plain)]
    rest = [rows[~rows.metric.str.contains(own)].reset_index(drop=True) for rows in rest]
    pd.testing.assert_frame_equal(rest[0], rest[1], check_exact=True)
    (plan,) = read(run).records.query("metric == 'plan_prefix'").to_dict("records")
    assert plan["reason"].startswith("fallback all: no transition in round 1, 2 layers with weights are too few")


def test_every_client_may_choose_for_itself(quick_run: Run) -> None:
    words = [*DEEP, "metrics.transition.thresholds.sensitivity=18", "plan.rule.choice=client"]
    run = quick_run(*WORDS, *words, "algorithm=playerfl")
    records = read(run).records
    own = records.query("metric == 'transition' and client == client").set_index("client")
    shared = records.query("metric == 'layer_shared' and round == 2")
    for client, row in own.iterrows():
        rows = shared[(shared.client == client) | shared.client.isna()].sort_values("layer_index")
        expected = 3 if row.status == "missing" else row.value
        assert rows.value.sum() == expected, client
    plans = records.query("metric == 'plan_prefix'")
    assert plans.client.tolist() == [0, 1, 2, 3] and plans.value.nunique() > 1


def test_it_goes_on_after_a_stop_as_if_there_had_been_none(quick_run: Run, tables: Tables, tmp_path: Path) -> None:
    words = [*WORDS, *FOUND, "algorithm=playerfl"]
    whole = quick_run(*words, "rounds=3")
    quick_run(*words, "rounds=1", folder=tmp_path)
    longer = quick_run(*words, "rounds=3", folder=tmp_path)
    for part in ("records/round=000002.parquet", "records/round=000003.parquet", "records/final.parquet"):
        assert tables(longer)[part] == tables(whole)[part]
    assert RunFolder(longer).checkpoint(3) == RunFolder(whole).checkpoint(3)
    assert letters(longer, 3) == "sspp"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "place", "server_round"),
    [(RoundLoop, "_evaluate", 1), (RunFolder, "commit_clients", 1), (RunFolder, "commit_clients", 2)],
)
def test_killed_in_the_round_that_chooses_it_continues_bit_for_bit(
    chosen: Path, quick_run: Run, tables: Tables, tmp_path: Path, owner: type, place: str, server_round: int
) -> None:
    original = getattr(owner, place)

    def dying(self: object, number: int, *arguments: object) -> object:
        if number == server_round:
            raise KeyboardInterrupt
        return original(self, number, *arguments)

    with mock.patch.object(owner, place, dying), pytest.raises(KeyboardInterrupt):
        quick_run(*CHOSEN, folder=tmp_path)
    longer = quick_run(*CHOSEN, folder=tmp_path)
    assert tables(longer) == tables(chosen)
    assert RunFolder(longer).checkpoint(3) == RunFolder(chosen).checkpoint(3)


@needs_real_data
@pytest.mark.slow
def test_four_hospitals_have_no_transition_and_share_all_but_the_head(tmp_path: Path) -> None:
    words = ["+experiment=player_fl/oracle_heart", "plan=auto", "rounds=2", "seed=0", "engine=local"]
    tables = fedlayers.run([*words, "progress=none", f"data_dir={REAL_DATA}", f"results_dir={tmp_path}"])
    (run,) = tables.runs
    assert letters(run, 1) == "ssss" and letters(run, 2) == "sssp"
    (plan,) = tables.records.query("metric == 'plan_prefix'").to_dict("records")
    why = "no transition in round 1, the second layer is above the threshold ("
    assert plan["value"] == 3 and plan["reason"].startswith(f"fallback head: {why}")
    found = tables.records.query("metric == 'transition'")
    assert len(found) == 5 and found.status.eq("missing").all()
    assert f"fallback head: {why}" in (run / "report.html").read_text(encoding="utf-8")
    assert (run / "figures" / "federation_plan.png").is_file()


@pytest.mark.slow
def test_workers_come_to_the_same(quick_run: Run, tables: Tables) -> None:
    # What travels through Flower is tests/engines/test_flower_messages.py.
    words = [*FOUND, "algorithm=playerfl", "partition=dirichlet", "metrics=[evaluation]", "plan.rule.choice=client"]
    here = quick_run("engine=local", *words)
    there = quick_run("engine=ray", "engine.workers=2", "engine.client_cpus=0.5", *words)
    assert tables(there) == tables(here)


def test_it_brings_what_it_needs_and_the_plan_that_is_given_wins() -> None:
    asked = compose_config(["algorithm=playerfl", "metrics=[evaluation]", "plan.rule.rounds=[1,4]"])
    assert asked.plan.name == "auto" and asked.metrics["transition"]["rounds"] == [1, 4]
    own = compose_config(["algorithm=playerfl", "plan=head"])
    assert own.plan.name == "head" and "transition" not in own.metrics
    drawn = compose_config(["algorithm=playerfl_random"])
    assert drawn.plan.name == "random_prefix" and not drawn.plan.rule


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["metrics.transition=null"],
            "plan.rule must observe what the run measures, got 'transition', which no metric",
        ),
        (["metrics.transition.rounds=[2]"], "plan.rule must look at a round in which transition is measured"),
        (["metrics.transition.measures=[drift]"], "measures must be a list of one or more of sensitivity, curvature"),
        (["algorithm=scaffold"], "plan must be one that stays the same with Scaffold, which takes every"),
    ],
)
def test_what_it_cannot_do_is_refused(quick_run: Run, words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        quick_run("engine=local", "plan=auto", *words)
