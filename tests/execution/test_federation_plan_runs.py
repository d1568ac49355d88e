"""Runs in which some layers stay with the clients: what travels, what is kept, what is measured and what is missing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ArrayRecord
from safetensors.torch import load

from fedlayers import open as open_run
from fedlayers import read
from fedlayers import run as run_sweep
from fedlayers.config.compose import compose_config
from fedlayers.config.schema.settings import identity
from fedlayers.core.errors import UserError
from fedlayers.flower.adapter import records_of
from fedlayers.runs.client_state import unpack
from fedlayers.runs.folder import RunFolder, run_folder
from fedlayers.studies.study import compose_sweep

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
PERSONAL = ["plan=personal", "plan.personal=[fc2]"]
WHY = "the federation plan leaves fc2 with the clients"


def model_of(run: Path, server_round: int) -> dict[str, bytes]:
    """Return the arrays of the server's model after a round."""
    arrays = load(RunFolder(run).checkpoint(server_round)[0])
    return {
        name.removeprefix("weights/"): array.numpy().tobytes()
        for name, array in arrays.items()
        if name.startswith("weights/")
    }


def own_layers(run: Path, client: int, server_round: int = 2) -> dict[str, bytes]:
    """Return the arrays of the model in a client's state."""
    record = unpack(run / "state" / f"{client}@{server_round}")["model"]
    return {name: array.numpy().tobytes() for name, array in record.items()}  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def personal(quick_run: Run) -> Path:
    return quick_run(
        "engine=local",
        *PERSONAL,
        "metrics=[evaluation,weights,distances,clusters,gradients]",
        "metrics.clusters.resamples=0",
    )


def test_the_server_has_the_shared_layers_and_each_client_its_own(personal: Path) -> None:
    assert set(model_of(personal, 1)) == set(model_of(personal, 2)) == {"fc1.weight", "fc1.bias"}
    states = [own_layers(personal, client) for client in range(4)]
    assert all(set(own) == {"fc2.weight", "fc2.bias"} for own in states)
    assert len({own["fc2.weight"] for own in states}) == 4


def test_round_one_by_hand(quick_run: Run) -> None:
    # Round 1 starts everywhere from the same weights: the shared layer is FedAvg's, whatever becomes of the other.
    words = ["engine=local", "rounds=1", "partition=dirichlet", "metrics=[evaluation]", "snapshots.clients=true"]
    run, whole = quick_run(*words, *PERSONAL), quick_run(*words)
    assert model_of(run, 1).items() <= model_of(whole, 1).items()
    clients = [load((whole / "snapshots" / f"client{c}@1.safetensors").read_bytes()) for c in range(4)]
    opened = open_run(run)
    with pytest.raises(UserError, match=r"owner server at round 1 is not whole, fc2.weight stays with the clients"):
        opened.model(1)
    for client, weights in enumerate(clients):
        # A client's model is kept whole, its own layers included.
        assert opened.model(1, client).state_dict()["fc2.bias"].equal(weights["fc2.bias"])
        assert own_layers(run, client, 1)["fc2.bias"] == weights["fc2.bias"].numpy().tobytes()
    counts = read(run).partition.query("scope == 'client_train'").groupby("client").examples.sum()
    mean = np.average([weights["fc1.bias"].numpy().astype(float) for weights in clients], 0, counts)
    assert mean.astype(np.float32).tobytes() == model_of(run, 1)["fc1.bias"]


def test_clients_measure_whole_models_at_both_moments_and_the_server_none(personal: Path) -> None:
    records = read(personal).records
    own = records.query("owner == 'client' and metric == 'loss' and scope == 'client_test' and status == 'ok'")
    assert own.groupby("moment", observed=True).size().to_dict() == {
        "start": 4, "after_local": 8, "after_aggregate": 8, "final": 4,
    }  # fmt: skip
    assert set(own.model) == {"personal"}
    norms = records.query("metric == 'norm' and layer == 'fc2'")
    assert len(norms) == 8 and (norms.status == "ok").all()
    tests = records.query("scope == 'server_test'")
    assert {"start", "after_aggregate", "final"} == set(tests.moment) and {"loss", "accuracy"} <= set(tests.metric)
    assert (tests.status == "missing").all()
    assert set(tests.reason) == {f"{WHY}: no model is whole on the server"}


def test_what_the_server_compares_is_of_shared_layers(personal: Path) -> None:
    tables = read(personal)
    compared = tables.records.query("metric in ['drift', 'update_cosine', 'b_dissimilarity']")
    assert set(compared[compared.status == "ok"].layer.dropna()) == {"fc1"}
    assert set(compared[compared.layer == "fc2"].reason) == {WHY}
    whole = compared[compared.layer.isna()]
    assert set(whole.variant) == {"shared"} and (whole.status == "ok").all()
    pairs = tables.pairs
    assert set(pairs.subject) == {"clients", "received", "aggregated"} and (pairs.status == "ok").all()
    assert "fc2" not in set(pairs.layer.dropna())
    of_layers = pairs.query("metric == 'l2_dst'")
    assert set(of_layers[of_layers.layer.isna()].variant) == {"mean, shared"}
    lost = tables.records.query("metric == 'l2_dst' and layer == 'fc2'")
    assert set(lost.subject) == {"clients", "received", "aggregated"} and set(lost.reason) == {WHY}
    clusters = tables.records.query("metric == 'clusters'")
    assert set(clusters.variant) == {"model_cosine_dst of updates, shared"} and (clusters.status == "ok").all()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["algorithm=local"],
            "plan must be left out because Local shares no layer anyway, got 'personal'; leave it out",
        ),
        (["algorithm=centralized"], "plan must be left out because Centralized trains one participant on all"),
        (["plan.personal=[fc1,fc2]"], r"plan.personal must be some of the model's layers, so that one is shared, got"),
        (["plan.personal=[fc3]"], r"plan.personal must name layers of the model \(fc1, fc2\), got 'fc3'; did you mean"),
    ],
)
def test_a_plan_without_effect_or_layer_is_refused(quick_run: Run, words: list[str], sentence: str) -> None:
    given = [word for word in PERSONAL if word.split("=")[0] not in {w.split("=")[0] for w in words}]
    with pytest.raises(UserError, match=sentence):
        quick_run("engine=local", *given, *words)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["plan=personal"],
            r"plan.personal must be one layer or more with plan=personal, got \[\]; name them, such as",
        ),
        (
            ["+plan.personal=[fc2]"],
            r"plan.personal must be left out with plan=all, got \['fc2'\]; choose plan=personal",
        ),
        (["plan.name=none"], "plan.name must be one of all, personal, shared, groups, prefix, .*, norms, got 'none'"),
        ([*PERSONAL, "init=there"], "init must be left out because plan=personal starts personal layers on clients"),
    ],
)
def test_a_plan_says_what_it_means(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        compose_config(words)


def test_the_plan_of_all_layers_names_the_same_run() -> None:
    assert identity(compose_config(["plan=all"])) == identity(compose_config([]))
    assert identity(compose_config(PERSONAL)) != identity(compose_config([]))


def test_layers_named_in_another_order_or_twice_are_the_same_run() -> None:
    names = {
        identity(compose_config(["plan=personal", f"plan.personal=[{layers}]"]))
        for layers in ("fc1,fc2", "fc2,fc1", "fc2,fc1,fc2")
    }
    assert len(names) == 1


def test_in_a_sweep_a_plan_is_of_the_runs_that_read_it(tmp_path: Path) -> None:
    small = ["engine=local", "rounds=1", "clients=2", "examples_per_client=40", "metrics=[evaluation]", "figures=false"]
    words = [*small, f"results_dir={tmp_path}", *PERSONAL]
    found = run_sweep(words, algorithm=["local", "fedavg"])
    assert dict(zip(found.facts["algorithm"], found.facts["plan"], strict=True)) == {
        "local": "all",
        "fedavg": "personal",
    }
    alone = compose_config([*small, f"results_dir={tmp_path}", "algorithm=local"])
    assert run_folder(alone) in found.runs
    with pytest.raises(UserError, match=r"plan must be left out because .* shares no layer anyway, got 'personal'"):
        compose_sweep([*PERSONAL, "algorithm=local", "seed=0,1"])


def test_run_json_says_which_layers_are_shared(personal: Path) -> None:
    facts = RunFolder(personal).facts()
    assert facts["plan"] == "personal" and facts["plan_chosen"] == "plan=personal plan.personal=[fc2]"
    assert {layer["name"]: layer["shared"] for layer in facts["layers"]} == {"fc1": True, "fc2": False}


@pytest.mark.slow
def test_flowers_runtime_keeps_layers_and_measures_steps_as_this_process(quick_run: Run, tables: Tables) -> None:
    words = [*PERSONAL, "clients=2", "rounds=1", "metrics=[evaluation,weights]", "metrics.weights.steps=['every 2']"]
    here, there = quick_run("engine=local", *words), quick_run("engine=flower", "engine.workers=1", *words)
    assert tables(there) == tables(here) and model_of(there, 1) == model_of(here, 1)
    assert [own_layers(there, client, 1) for client in (0, 1)] == [own_layers(here, client, 1) for client in (0, 1)]
    assert read(there).records["step"].notna().any()


@pytest.mark.parametrize("algorithm", ["fedadam", "fedprox", "clustered", "ifca"])
def test_strategies_see_the_shared_layers_alone(quick_run: Run, algorithm: str) -> None:
    run = quick_run("engine=local", *PERSONAL, f"algorithm={algorithm}", "metrics=[evaluation]")
    arrays = load(RunFolder(run).checkpoint(2)[0])
    assert any("fc1" in name for name in arrays) and not any("fc2" in name for name in arrays)
    assert len({own_layers(run, client)["fc2.weight"] for client in range(4)}) == 4


def test_stopped_between_rounds_it_goes_on_bit_for_bit(
    personal: Path, quick_run: Run, tables: Tables, tmp_path: Path
) -> None:
    words = ["engine=local", *PERSONAL, "metrics=[evaluation]"]
    quick_run(*words, "rounds=1", folder=tmp_path)
    longer, whole = quick_run(*words, folder=tmp_path), quick_run(*words)
    assert model_of(longer, 2) == model_of(whole, 2) == model_of(personal, 2)
    for client in range(4):
        assert own_layers(longer, client) == own_layers(whole, client)
    last = "records/round=000002.parquet"
    assert tables(longer)[last] == tables(whole)[last]


@pytest.mark.slow
def test_workers_leave_the_layers_where_they_belong(personal: Path, quick_run: Run, tables: Tables) -> None:
    words = [*PERSONAL, "clients=7", "fraction=0.8", "metrics=[evaluation,weights,distances]"]
    here = quick_run("engine=local", *words)
    spread = quick_run("engine=ray", "engine.workers=2", "engine.client_cpus=0.5", *words)
    assert tables(spread) == tables(here) and model_of(spread, 2) == model_of(here, 2)


def state_of(run: Path, client: int) -> dict[str, bytes]:
    """Return all arrays of a client's state after round 2, buffers among them."""
    state = records_of(unpack(run / "state" / f"{client}@2"), ArrayRecord)
    return {
        f"{part}/{name}": array.numpy().tobytes()
        for part in ("model", "buffers")
        for name, array in state[part].items()
    }


def test_statistics_stay_where_their_layer_stays(quick_run: Run) -> None:
    words = ["engine=local", "model._target_=tests.support.odd_models.TinyBatchNorm", "metrics=[evaluation]"]
    run = quick_run(*words, "plan=personal", "plan.personal=[norm]")
    assert not any("norm" in name for name in load(RunFolder(run).checkpoint(2)[0]))
    states = [state_of(run, client) for client in range(4)]
    assert all(own.keys() >= {"model/norm.weight", "buffers/norm.running_mean"} for own in states)
    assert len({own["buffers/norm.running_mean"] for own in states}) == 4
    shared = quick_run(*words, "plan=personal", "plan.personal=[last]")
    assert {"buffers/norm.running_mean", "weights/norm.weight"} <= set(load(RunFolder(shared).checkpoint(2)[0]))
