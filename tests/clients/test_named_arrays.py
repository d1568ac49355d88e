"""Arrays travel by name, some of the model or others beside it; several models are measured in one message."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from flwr.app import ConfigRecord, RecordDict
from safetensors.torch import load

from fedlayers import read
from fedlayers.core.errors import ClientFailed, UserError
from fedlayers.flower.contents import array_record, reply_content
from fedlayers.flower.global_model import GlobalModel
from fedlayers.runs.client_state import unpack
from fedlayers.runs.folder import RunFolder
from tests.support.control_variates import ScaffoldClient
from tests.support.one_example import gradient, session_on_three_weights

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
HERE = "tests.support.control_variates."
SCAFFOLD = [f"algorithm.strategy._target_={HERE}Scaffold", "+algorithm.strategy.clients=4"]
SCAFFOLD += [f"algorithm.client._target_={HERE}ScaffoldClient", "fraction=0.5", "rounds=3"]
SENDING = f"algorithm.client._target_={HERE}Sending"


def choosy(start: str) -> list[str]:
    return ["engine=local", f"algorithm.strategy._target_={HERE}Choosy", f"+algorithm.strategy.start='{start}'"]


def test_two_steps_of_scaffold_by_hand() -> None:
    w0, server, own = (np.array(v, np.float32) for v in ([0.5, -1.0, 2.0], [0.1, 0.2, -0.3], [-0.2, 0.0, 0.1]))
    content, state = RecordDict({"config": ConfigRecord({})}), RecordDict()
    content["arrays"] = array_record({"weight": w0[:, None]})
    content["control"] = array_record({"weight": server[:, None]})
    state["control"] = array_record({"weight": own[:, None]})
    session = session_on_three_weights(content, state)
    client = ScaffoldClient(session)
    sent, count, found = client.fit([w0[:, None].copy()], {})
    assert client.counted.steps == (1, 2)

    w1 = w0 - 0.1 * (gradient(w0) + server - own)
    w2 = w1 - 0.1 * (gradient(w1) + server - own)
    assert count == 1 and sent[0].ravel().tolist() == pytest.approx(w2.tolist(), abs=1e-6)
    # Option II: c_i becomes the mean of the gradients along the way.
    mean = (gradient(w0) + gradient(w1)) / 2
    assert session.stored("control")["weight"].ravel().tolist() == pytest.approx(mean.tolist(), abs=1e-5)
    assert found["control"]["weight"].ravel().tolist() == pytest.approx((mean - own).tolist(), abs=1e-5)


@pytest.fixture(scope="module")
def scaffold(quick_run: Run) -> Path:
    return quick_run("engine=local", *SCAFFOLD)


def test_control_variates_reach_server_and_state(scaffold: Path) -> None:
    arrays, scalars = RunFolder(scaffold).checkpoint(3)
    server = {name: array for name, array in load(arrays).items() if name.startswith("strategy.control.")}
    states = {client: sorted((scaffold / "state").glob(f"{client}@*")) for client in range(4)}
    own = [unpack(paths[-1])["control"] for paths in states.values() if paths]
    assert len(own) > 2 and len(server) == 4
    # c is the mean of all c_i: those of clients that never trained are 0.
    for name, array in server.items():
        key = name.removeprefix("strategy.control.")
        total = np.sum([record[key].numpy() for record in own], 0)  # type: ignore[union-attr]
        np.testing.assert_allclose(array, total / 4, atol=1e-6)
    said = scalars["strategy"]
    assert said["greetings"] == {"list": ["hello", "hello"]}
    assert set(said["sums"]["dict of integers"]) <= {"1", "2", "3", "4"}


def test_what_a_strategy_received_survives_a_stop(
    scaffold: Path, quick_run: Run, tables: Tables, tmp_path: Path
) -> None:
    words = [word for word in SCAFFOLD if word != "rounds=3"]
    quick_run("engine=local", *words, "rounds=1", folder=tmp_path)
    longer = quick_run("engine=local", *words, "rounds=3", folder=tmp_path)
    mine, whole = (RunFolder(run).checkpoint(3) for run in (longer, scaffold))
    assert mine[0] == whole[0] and mine[1]["strategy"] == whole[1]["strategy"]


@pytest.mark.slow
def test_workers_add_up_the_model_and_pass_on_the_rest(scaffold: Path, quick_run: Run, tables: Tables) -> None:
    spread = quick_run("engine=ray", "engine.workers=2", "engine.client_cpus=0.5", *SCAFFOLD)
    assert tables(spread) == tables(scaffold)
    assert RunFolder(spread).checkpoint(3)[0] == RunFolder(scaffold).checkpoint(3)[0]


def test_models_of_one_message_are_told_apart(scaffold: Path) -> None:
    rows = read(scaffold).records.query("owner == 'client' and metric == 'loss' and scope == 'client_test'")
    for moment in ("after_local", "after_aggregate"):
        models = rows[rows.moment == moment].groupby(["round", "client"], observed=True).model.agg(sorted)
        assert len(models) == 6 and set(map(tuple, models)) == {("global", "personal")}
    both = rows[rows.moment == "after_aggregate"].pivot(index=["round", "client"], columns="model", values="value")
    assert (both["global"] != both["personal"]).all()
    # The one that clients received is the one that they all evaluated a round before.
    facts = json.loads((scaffold / "run.json").read_text())
    validated = read(scaffold).records.query("metric == 'loss' and scope == 'client_val' and model == 'global'")
    best = validated[(validated.moment == "after_aggregate") & (validated["round"] == facts["best"]["round"])]
    assert facts["best"]["value"] == pytest.approx(np.average(best.value, weights=best.n))


def values(run: Path, query: str) -> pd.DataFrame:
    found = read(run).records.query(query)[["round", "client", "layer", "metric", "scope", "value"]]
    return found.astype({"layer": str, "metric": str, "scope": str}).reset_index(drop=True)


def test_arrays_in_another_order_are_the_same_arrays(quick_run: Run, tables: Tables) -> None:
    plain = quick_run("engine=local")
    assert tables(quick_run(*choosy(""))) == tables(plain)
    assert tables(quick_run("engine=local", SENDING)) == tables(plain)


def test_clients_to_whom_nothing_is_sent_train_alone(quick_run: Run) -> None:
    # Names of no array begin so: all layers are the clients' own.
    query = "moment == 'after_local' and owner == 'client' and metric in ['loss', 'norm', 'update_norm']"
    alone, apart = quick_run("engine=local", "algorithm=local"), quick_run(*choosy("none of them"))
    pd.testing.assert_frame_equal(values(apart, query), values(alone, query), check_exact=True)


def moves_in_its_first_layer_only(run: Path, plain: Path) -> None:
    """Check the server's model after round 1: the first layer as in a plain run, the last one as it was."""
    found, whole, before = (load(RunFolder(own).checkpoint(last)[0]) for own, last in ((run, 1), (plain, 1), (run, 0)))
    for name in ("weight", "bias"):
        assert torch.equal(found[f"weights/fc1.{name}"], whole[f"weights/fc1.{name}"])
        assert torch.equal(found[f"weights/fc2.{name}"], before[f"weights/fc2.{name}"])
        assert not torch.equal(found[f"weights/fc2.{name}"], whole[f"weights/fc2.{name}"])


def test_a_layer_that_is_not_sent_stays_with_its_client(quick_run: Run) -> None:
    words = ["metrics=[evaluation]", "rounds=1"]
    run, plain = quick_run(*choosy("fc1"), *words), quick_run("engine=local", *words)
    moves_in_its_first_layer_only(run, plain)
    evaluated = read(run).records.query("moment == 'after_aggregate' and client >= 0")
    assert set(evaluated.model) == {"personal"}
    state = [unpack(run / "state" / f"{client}@1")["model"] for client in range(4)]
    assert all(set(own) == {"fc2.weight", "fc2.bias"} for own in state)
    assert len({own["fc2.weight"].data for own in state}) == 4  # type: ignore[union-attr]


def test_a_reply_may_lack_layers(quick_run: Run) -> None:
    words = ["engine=local", "rounds=1", "metrics=[evaluation]"]
    run, plain = quick_run(*words, SENDING, "+algorithm.client.start=fc1"), quick_run(*words)
    moves_in_its_first_layer_only(run, plain)


@pytest.mark.parametrize(
    ("word", "error", "sentence"),
    [
        ("name=second", UserError, "sends 'second' beside the model, which algorithm.strategy does not take; choose"),
        ("name=metrics", ClientFailed, "must not call arrays beside the model 'metrics', which is taken"),
        ("count=1", ClientFailed, r"arrays that session.sent names, 4 of them, got 1; change session.sent"),
    ],
)
def test_what_nobody_takes_is_refused(quick_run: Run, word: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        quick_run("engine=local", SENDING, f"+algorithm.client.{word}")


def test_what_no_client_reads_is_refused_outside_of_rounds_too(quick_run: Run) -> None:
    with pytest.raises(UserError, match=r"sends its clients a record 'prompt', which clients\.fedavg"):
        quick_run("engine=local", f"algorithm.strategy._target_={HERE}Prompting")


def test_what_begins_unknown_is_refused(quick_run: Run) -> None:
    other = quick_run("engine=local", "rounds=1")
    with pytest.raises(ClientFailed, match=r"must send 'fc2.weight' to clients that have not trained yet"):
        quick_run(*choosy("fc1"), f"init={other}")


def test_arrays_of_no_layer_are_refused() -> None:
    model = GlobalModel({"w": np.zeros(2, np.float32)}, {})
    with pytest.raises(UserError, match="must make arrays of shared layers, under names such as 'w', got 'v'; keep"):
        model.take(array_record({"v": np.zeros(2)}))
    content = RecordDict({"config": ConfigRecord({}), "arrays": array_record({"v": np.zeros(2)})})
    with pytest.raises(UserError, match="must send arrays of the model under their names, such as 'weight', got 'v'"):
        _ = session_on_three_weights(content, RecordDict()).received


def test_values_go_by_their_kind() -> None:
    found: dict[str, Any] = {"loss": 0.5, "counts": [1, 2], "word": "yes", "flag": True, "payloads": b"1", "key": b"2"}
    content = reply_content(None, 3, {**found, "control": {"w": torch.ones(2), "v": np.zeros(1)}})
    assert dict(content["metrics"]) == {"num-examples": 3, "one": 1.0, "loss": 0.5, "counts": [1, 2]}
    assert dict(content["config"]) == {"word": "yes", "flag": True, "key": b"2"}
    assert dict(content["fedlayers"]) == {"payloads": b"1"} and list(content["control"]) == ["w", "v"]
