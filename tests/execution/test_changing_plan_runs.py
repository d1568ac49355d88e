"""Runs whose federation plan changes: what travels, what is averaged over whom, what is kept and what is measured."""

import json
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from flwr.app import ArrayRecord
from safetensors.numpy import load
from torch import nn

from fedlayers import read
from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of, total
from fedlayers.core.plans.drawn import Drawn
from fedlayers.core.plans.intervals import discrepancies, least_critical
from fedlayers.execution.rounds import RoundLoop
from fedlayers.flower.adapter import records_of
from fedlayers.runs.client_state import unpack
from fedlayers.runs.folder import RunFolder
from tests.support.odd_plans import APART, NOTHING

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
WORDS = ["engine=local", "partition=dirichlet", "metrics=[evaluation]"]
KEPT = ["snapshots.rounds=[all]", "snapshots.clients=true"]
DEEP = ["model.hidden=[8,32,16]", "clients=5"]
LAYERS = ("fc1", "fc2", "fc3", "fc4")
LAMA = ["algorithm=fedlama", *DEEP, "rounds=4"]
LP = ["algorithm=fedlp", *DEEP, "rounds=3"]


def model_of(run: Path, server_round: int, owner: str = "server") -> dict[str, np.ndarray]:
    return load((run / "snapshots" / f"{owner}@{server_round}.safetensors").read_bytes())


def without_plan_rows(run: Path) -> pd.DataFrame:
    """Return the records but for those about the plan, which FedAvg has not."""
    records = read(run).records
    own = ["layer_shared", "layer_interval", "layer_discrepancy"]
    return records[~records.metric.isin(own)].drop(columns="run").astype(object).reset_index(drop=True)


def state_of(run: Path, client: int, server_round: int = 2) -> dict[str, bytes]:
    """Return the arrays of the model in a client's state, buffers among them."""
    state = records_of(unpack(run / "state" / f"{client}@{server_round}"), ArrayRecord)
    return {
        f"{part}/{name}": array.numpy().tobytes()
        for part in ("model", "buffers")
        for name, array in state.get(part, ArrayRecord()).items()
    }


def shares_of(run: Path) -> np.ndarray:
    counts = read(run).partition.query("scope == 'client_train'").groupby("client").examples.sum()
    return np.asarray(counts / counts.sum())


@pytest.fixture(scope="module")
def fedavg(quick_run: Run) -> Path:
    return quick_run(*WORDS)


@pytest.fixture(scope="module")
def fedlama(quick_run: Run) -> Path:
    return quick_run(*WORDS, *LAMA, *KEPT)


@pytest.fixture(scope="module")
def fedlp(quick_run: Run) -> Path:
    return quick_run(*WORDS, *LP, *KEPT)


@pytest.mark.parametrize(
    "words", [["algorithm=fedlp", "plan.rule.keep=1"], ["algorithm=fedlama", "plan.rule.factor=1"]]
)
def test_where_all_is_shared_it_is_fedavg(quick_run: Run, fedavg: Path, words: list[str]) -> None:
    run = quick_run(*WORDS, *words)
    assert RunFolder(run).checkpoint(2)[0] == RunFolder(fedavg).checkpoint(2)[0]
    pd.testing.assert_frame_equal(without_plan_rows(run), without_plan_rows(fedavg), check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("model", [[], ["model._target_=tests.support.odd_models.TinyBatchNorm"]])
def test_where_nothing_is_shared_it_is_local_training(quick_run: Run, model: list[str]) -> None:
    words = ["engine=local", "fraction=0.5", "rounds=3", *model]
    apart, alone = quick_run(*words, *NOTHING), quick_run(*words, "algorithm=local")
    trained = {path.name for path in (alone / "state").glob("[0-9]*@*")}
    assert trained and trained == {path.name for path in (apart / "state").glob("[0-9]*@*")}
    for name in trained:
        client, server_round = map(int, name.split("@"))
        assert state_of(apart, client, server_round) == state_of(alone, client, server_round)
    measured = [
        read(run).records.query("owner == 'client' and metric in ['loss', 'norm', 'update_norm']")
        for run in (apart, alone)
    ]
    columns = ["round", "moment", "client", "layer", "scope", "value"]
    # Who has not trained yet measures what the server has, which buffers may come of.
    found = [table[table.moment == "after_local"][columns].reset_index(drop=True) for table in measured]
    pd.testing.assert_frame_equal(found[0], found[1], check_exact=True, check_categorical=False)
    assert set(measured[0].query("moment != 'start'").model) == {"personal"}


def test_fedlp_divides_each_layer_by_those_who_sent_it(fedlp: Path) -> None:
    layers = layers_of(nn.Sequential(*(nn.Linear(1, 1) for _ in LAYERS)))
    rule, shares = Drawn(0.5), shares_of(fedlp)
    rule.begin(layers, 5, 0)
    sent = read(fedlp).records.query("metric == 'layer_shared'").pivot_table("value", ["round", "client"], "layer")
    before = model_of(fedlp, 1)
    for server_round in (2, 3):
        drawn = [rule.holding(server_round, client).letters(layers) for client in range(5)]
        assert sent.loc[server_round].to_numpy().tolist() == [[letter == "s" for letter in own] for own in drawn]
        clients, after = [model_of(fedlp, server_round, f"client{c}") for c in range(5)], model_of(fedlp, server_round)
        for place, layer in enumerate(LAYERS):
            senders = [c for c in range(5) if drawn[c][place] == "s"]
            for name in (f"{layer}.weight", f"{layer}.bias"):
                arrays = [clients[c][name].astype(float) for c in senders]
                mean = np.average(arrays, 0, shares[senders]) if senders else before[name]
                np.testing.assert_allclose(after[name], mean, rtol=2e-6, atol=1e-7)
        before = after
    # Some layer was sent by some only, and all clients went on from the global model.
    assert 0 < sent.to_numpy().mean() < 1
    models = read(fedlp).records.query("moment == 'after_aggregate' and metric == 'loss' and owner == 'client'").model
    assert set(models) == {"global"}


def test_fedlama_averages_layers_in_intervals_of_their_own(fedlama: Path) -> None:
    records = read(fedlama).records
    clients = {r: {c: model_of(fedlama, r, f"client{c}") for c in range(5)} for r in range(1, 5)}
    server = {r: model_of(fedlama, r) for r in range(1, 5)}
    shared = records.query("metric == 'layer_shared'").pivot_table("value", "round", "layer")
    found = {name: records.query("metric == @name and round == 2").value.to_numpy() for name in
             ("layer_discrepancy", "layer_interval")}  # fmt: skip
    expected, sizes = [], []
    for layer in LAYERS:
        names = [f"{layer}.weight", f"{layer}.bias"]
        flat = np.array([np.concatenate([clients[2][c][n].ravel() for n in names]) for c in range(5)], float)
        weights = shares_of(fedlama)
        gaps = ((flat - weights @ flat) ** 2).sum(1)
        expected.append(weights @ gaps / flat.shape[1])
        sizes.append(flat.shape[1])
    np.testing.assert_allclose(found["layer_discrepancy"], expected, rtol=1e-6)
    longer = least_critical(np.array(expected), sizes)
    assert found["layer_interval"].tolist() == np.where(longer, 2, 1).tolist() and 0 < longer.sum() < 4
    assert shared.to_numpy().tolist() == [[1.0] * 4, [1.0] * 4, (~longer).astype(float).tolist(), [1.0] * 4]
    for place, layer in enumerate(LAYERS):
        name = f"{layer}.weight"
        mean = np.average([clients[3][c][name].astype(float) for c in range(5)], 0, shares_of(fedlama))
        # Not averaged, the server's stays, and each client goes on from its own.
        np.testing.assert_allclose(server[3][name], server[2][name] if longer[place] else mean, rtol=2e-6, atol=1e-7)
    kept = [f"fc{place + 1}" for place in range(4) if longer[place]]
    for client in range(5):
        own = unpack(fedlama / "state" / f"{client}@3")["model"]
        assert {name.split(".")[0] for name in own} == set(kept)
        assert all(array.numpy().tobytes() == clients[3][client][n].tobytes() for n, array in own.items())  # type: ignore[union-attr]
    models = records.query("metric == 'loss' and moment == 'after_aggregate' and owner == 'client'")
    assert models.groupby("round").model.agg(set).to_dict() == {
        1: {"global"}, 2: {"global"}, 3: {"personal"}, 4: {"global"},
    }  # fmt: skip
    tests = records.query("scope == 'server_test' and moment == 'after_aggregate' and round == 3")
    assert set(tests.reason) == {
        f"the federation plan leaves {', '.join(kept)} with the clients: no model is whole on the server"
    }


def test_between_two_averages_clients_train_as_alone(quick_run: Run) -> None:
    words = [*WORDS, *KEPT, "fraction=0.5"]
    run = quick_run(*words, "algorithm=fedlama", "plan.rule.interval=2", "plan.rule.factor=1")
    alone = quick_run(*words, "algorithm=local")
    kept = sorted(path.name for path in (alone / "snapshots").glob("client*@*"))
    assert kept and kept == sorted(path.name for path in (run / "snapshots").glob("client*@*"))
    for name in kept:
        assert (
            load((run / "snapshots" / name).read_bytes()).keys()
            == load((alone / "snapshots" / name).read_bytes()).keys()
        )
        assert (run / "snapshots" / name).read_bytes() == (alone / "snapshots" / name).read_bytes()


def test_who_was_away_gets_what_was_averaged_meanwhile(quick_run: Run) -> None:
    # Of two clients one trains a round; all layers are averaged in rounds 2 and 4 only.
    words = [*WORDS, *KEPT, "clients=4", "fraction=0.5", "rounds=4"]
    run = quick_run(*words, "algorithm=fedlama", "plan.rule.interval=2", "plan.rule.factor=1")
    records = read(run).records
    trained = records.query("metric == 'training_loss'").groupby("round").client.agg(set)
    late = trained[3] - trained[1]
    assert late
    losses = records.query("metric == 'loss' and scope == 'client_test' and round == 2 and moment == 'after_aggregate'")
    assert set(losses.model) == {"global"}
    # In round 3 nothing is averaged: whoever did not train measures the average of round 2, the others their own.
    states = {path.name for path in (run / "state").glob("[0-9]*@3")}
    assert states == {f"{client}@3" for client in trained[3]}


def test_plans_may_differ_between_clients(quick_run: Run) -> None:
    run = quick_run(*WORDS[:2], "metrics=[evaluation,weights,distances]", *KEPT, *APART, "rounds=3")
    shares = shares_of(run)
    clients = {r: [model_of(run, r, f"client{c}") for c in range(4)] for r in (2, 3)}
    for server_round in (2, 3):
        odd = [clients[server_round][c]["fc2.bias"].astype(float) for c in (1, 3)]
        mean = np.average(odd, 0, shares[[1, 3]])
        np.testing.assert_allclose(model_of(run, server_round)["fc2.bias"], mean, rtol=2e-6, atol=1e-7)
    own = unpack(run / "state" / "0@3")["model"]
    assert set(own) == {"fc2.weight", "fc2.bias"} and not (run / "state" / "1@3").exists()
    records = read(run).records
    models = records.query("metric == 'loss' and round == 3 and owner == 'client' and moment == 'after_aggregate'")
    assert models.groupby("client").model.first().tolist() == ["personal", "global", "personal", "global"]
    # Those who sent a layer are compared in it; of the others it is missing, with the reason.
    drift = records.query("metric == 'drift' and round == 3 and layer == 'fc2'").set_index("client")
    after = model_of(run, 3)
    for client in (1, 3):
        gaps = [np.square(clients[3][client][name] - after[name]).sum() for name in ("fc2.weight", "fc2.bias")]
        assert drift.value[client] == pytest.approx(np.sqrt(sum(gaps)), rel=1e-5)
    why = "the federation plan of this round leaves fc2 with clients 0, 2"
    assert set(drift.index) == set(range(4)) and set(drift.reason[[0, 2]]) == {why}
    assert records.query("metric == 'b_dissimilarity' and round == 3 and layer == 'fc2'").n.tolist() == [2]
    lost = records.query("metric == 'l2_dst' and round == 3 and layer == 'fc2'")
    assert set(lost.reason) == {why} and len(read(run).pairs.query("round == 3 and layer == 'fc1'"))
    shared = records.query("metric == 'layer_shared'")
    assert shared.query("round == 1").client.isna().all() and len(shared.query("round == 1")) == 2
    assert shared.query("round == 2 and layer == 'fc2'").sort_values("client").value.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("name", ["fedlama", "fedlp"])
def test_stopped_between_rounds_it_goes_on_bit_for_bit(
    request: pytest.FixtureRequest, quick_run: Run, tables: Tables, tmp_path: Path, name: str
) -> None:
    words = [*WORDS, *(LAMA if name == "fedlama" else LP), *KEPT]
    whole: Path = request.getfixturevalue(name)
    stop = "rounds=3" if name == "fedlama" else "rounds=2"
    quick_run(*(stop if word.startswith("rounds=") else word for word in words), folder=tmp_path)
    longer = quick_run(*words, folder=tmp_path)
    last = RunFolder(whole).last_round()
    assert last is not None
    for part in (f"records/round={last:06d}.parquet", "records/final.parquet"):
        assert tables(longer)[part] == tables(whole)[part]
    assert RunFolder(longer).checkpoint(last) == RunFolder(whole).checkpoint(last)


@pytest.mark.slow
@pytest.mark.parametrize(("owner", "place"), [(RoundLoop, "_evaluate"), (RunFolder, "commit_clients")])
def test_killed_in_a_round_it_continues_bit_for_bit(
    fedlama: Path, quick_run: Run, tables: Tables, tmp_path: Path, owner: type, place: str
) -> None:
    original = getattr(owner, place)

    def dying(self: object, server_round: int, *arguments: object) -> object:
        if server_round == 3:
            raise KeyboardInterrupt
        return original(self, server_round, *arguments)

    words = [*WORDS, *LAMA, *KEPT]
    with mock.patch.object(owner, place, dying), pytest.raises(KeyboardInterrupt):
        quick_run(*words, folder=tmp_path)
    longer = quick_run(*words, folder=tmp_path)
    assert tables(longer) == tables(fedlama)
    assert RunFolder(longer).checkpoint(4) == RunFolder(fedlama).checkpoint(4)


@pytest.mark.slow
@pytest.mark.parametrize("plan", [["algorithm=fedlama"], ["algorithm=fedlp"], APART])
def test_workers_come_to_the_same(quick_run: Run, tables: Tables, plan: list[str]) -> None:
    # What travels through Flower is compared for all of these in tests/engines/test_flower_messages.py.
    words = [*plan, *DEEP[:1], "clients=7", "fraction=0.8", "rounds=3", "metrics=[evaluation,weights]"]
    here = quick_run("engine=local", *words)
    engines = [["engine=ray", "engine.workers=2"], *([["engine=flower", "engine.workers=1"]] if plan == APART else [])]
    for engine in engines:
        there = quick_run(*engine, "engine.client_cpus=0.5", *words)
        assert tables(there) == tables(here)
        assert RunFolder(there).checkpoint(3)[0] == RunFolder(here).checkpoint(3)[0]


@pytest.mark.slow
def test_a_threshold_on_a_measure_decides_after_its_round(quick_run: Run) -> None:
    words = [*WORDS[:2], "metrics=[evaluation,weights]", "plan=threshold", "plan.rule.quantity=drift", "rounds=3"]
    drift = read(quick_run(*WORDS[:2], "metrics=[weights]", "rounds=1")).records
    means = drift.query("metric == 'drift' and layer == layer").groupby("layer").value.mean()
    between = float(means.mean())
    records = read(quick_run(*words, f"plan.rule.below={between}")).records
    found = records.query("metric == 'plan_threshold'").set_index("layer").value
    np.testing.assert_allclose(found.loc[means.index], means, rtol=1e-12)
    shared = records.query("metric == 'layer_shared'").pivot_table("value", "round", "layer")
    expected = (means <= between).astype(float)[shared.columns].tolist()
    assert shared.to_numpy().tolist() == [[1.0, 1.0], expected, expected] and 0 < sum(expected) < 2
    records = read(quick_run(*words, "plan.rule.below=-1")).records
    (why,) = records.query("metric == 'plan_threshold' and layer != layer").reason
    assert why == "no layer has drift at most -1: all stay shared"
    assert records.query("metric == 'layer_shared'").value.eq(1).all()


def test_a_threshold_above_alone_goes_with_below_null(quick_run: Run) -> None:
    words = ["plan.rule.quantity=drift", "plan.rule.below=null", "plan.rule.above=0", "metrics=[weights]", "rounds=1"]
    records = read(quick_run(*WORDS[:2], "plan=threshold", *words)).records
    (why,) = records.query("metric == 'plan_threshold' and layer != layer").reason
    assert why == "all layers have drift at least 0: all stay shared"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["algorithm=scaffold", "plan=drawn"], "plan must be one that stays the same with Scaffold, which takes every"),
        (
            ["algorithm.client._target_=flwr.client.NumPyClient", "plan=drawn"],
            "plan must be one that stays the same with Participant, which takes",
        ),
        (["algorithm=fedadam", "plan=intervals"], "plan must be one that stays the same with FedAdam, which takes"),
        (["algorithm=local", "plan=drawn"], "plan must be left out because Local shares no layer anyway, got 'drawn'"),
        (["plan=drawn", "plan.rule.keep=0"], r"plan.rule.keep must be in \(0, 1\] \(1 is FedAvg\), got 0"),
        (["plan=intervals", "plan.rule.factor=0"], r"plan.rule.factor must be 1 or more \(1 is FedAvg\), got 0"),
        (["plan=threshold"], "plan.rule must observe what the run measures, got 'sensitivity_cumulative', which no"),
        (
            ["plan=threshold", "plan.rule.quantity=wrongname"],
            "plan.rule must observe what the run measures, got 'wrongname', which no metric of it does; choose a",
        ),
        (
            ["plan=threshold", "plan.rule.above=1"],
            "plan.rule.below must be null if plan.rule.above is a number, got 1.15; add plan.rule.below=null, or leave",
        ),
        (["plan=threshold", "plan.rule.below=null"], "plan.rule.below must be a number if plan.rule.above is null"),
        (["plan=threshold", "plan.rule.below=inf"], "plan.rule.below must be a number, or null, got inf"),
        (
            ["plan=threshold", "metrics=[sensitivity]", "plan.rule.round=2", "rounds=3"],
            "plan.rule must look at a round in which sensitivity_cumulative is measured after local training, got 2; "
            "add it to metrics.sensitivity.rounds",
        ),
        (["plan=head", "+plan.rule={_target_: x.Y}"], "plan.rule must be left out with plan=head, got"),
        (["plan.name=own", "+plan.rule={_target_: clients.fedavg.FedAvgClient}"], "plan.rule._target_ must be a"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(quick_run: Run, words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        quick_run(*[word for word in WORDS if "metrics" not in word or "metrics" not in str(words)], *words)


def test_the_least_critical_layers_are_those_before_the_curves_cross() -> None:
    generator = np.random.default_rng(0)
    layers = layers_of(nn.Sequential(*(nn.Linear(int(n), 3) for n in generator.integers(1, 9, 6))))
    every = [parameter for layer in layers for parameter in layer.parameters]
    weights = {c: {one.name: generator.normal(size=one.shape) for one in every} for c in range(4)}
    found = discrepancies(weights, dict.fromkeys(range(4), 0.25), layers, [1, 2, 1, 2, 1, 1])
    sizes = [total([layer]) for layer in layers]
    chosen, order = set(), np.argsort(found)
    for taken in range(1, 7):
        delta = sum(found[i] * sizes[i] for i in order[:taken]) / sum(found * sizes)
        if delta < 1 - sum(sizes[i] for i in order[:taken]) / sum(sizes):
            chosen.add(int(order[taken - 1]))
    assert set(np.flatnonzero(least_critical(found, sizes))) == chosen and chosen
    # Without disagreement every layer but the last may wait.
    assert least_critical(np.zeros(3), [1, 1, 1]).tolist() == [True, True, False]


def test_run_json_says_how_the_plan_was_chosen(fedlama: Path) -> None:
    facts = json.loads((fedlama / "run.json").read_text())
    assert facts["plan"] == "intervals" and facts["plan_chosen"]["factor"] == 2
