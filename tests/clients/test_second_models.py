"""Clients with a model of their own beside the shared one: two steps by hand, kept, measured, switched off."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from clients.second_models.apfl import APFLClient
from clients.second_models.base import SecondModelClient
from clients.second_models.ditto import DittoClient
from clients.second_models.pfedme import PFedMeClient
from fedlayers import read
from fedlayers.core.errors import UserError
from fedlayers.flower.adapter import records_of
from fedlayers.flower.contents import array_record
from fedlayers.runs.client_state import unpack
from fedlayers.runs.folder import RunFolder
from tests.support.one_example import gradient, session_on_three_weights

Run = Callable[..., Path]
W0, V0 = np.array([0.5, -1.0, 2.0]), np.array([-0.2, 0.0, 0.1])
# A learning rate that is given step by step, and stays.
BY_STEP = ["training.schedule=exponential", "training.schedule_by=step", "training.schedule_factor=1"]
ALGORITHMS = ["ditto", "pfedme", "apfl"]


def column(values: np.ndarray) -> Any:
    return array_record({"weight": values.astype(np.float32)[:, None]})


def trained(kind: Any, *words: str, **arguments: Any) -> tuple[np.ndarray, np.ndarray, SecondModelClient]:
    """Return w and v after two steps, and the client."""
    content, state = RecordDict({"config": ConfigRecord({}), "arrays": column(W0)}), RecordDict({"second": column(V0)})
    client = kind(session_on_three_weights(content, state, *words), **arguments)
    sent = client.fit([W0.astype(np.float32)[:, None]], {})[0][0].ravel()
    return sent, client.session.stored("second")["weight"].numpy().ravel(), client


def descended(w: np.ndarray, steps: int, pull: float = 0.0, towards: np.ndarray = W0) -> np.ndarray:
    for _ in range(steps):
        w = w - 0.1 * (gradient(w) + pull * (w - towards))
    return w


def test_two_steps_of_ditto_by_hand() -> None:
    w, v, _ = trained(DittoClient, strength=0.7)
    assert w == pytest.approx(descended(W0, 2), abs=1e-6)
    assert v == pytest.approx(descended(V0, 2, 0.7), abs=1e-6)


def test_two_steps_of_pfedme_by_hand() -> None:
    found, theta, _ = trained(PFedMeClient, strength=3.0, inner_steps=4, eta=0.05)
    w, v = W0, V0
    for _ in range(2):
        v = descended(v, 4, 3.0, towards=w)
        w = w - 0.05 * 3.0 * (w - v)
    assert found == pytest.approx(w, abs=1e-6) and theta == pytest.approx(v, abs=1e-6)


@pytest.mark.parametrize("schedule", [[], BY_STEP], ids=["", "by step"])
@pytest.mark.parametrize("adaptive", [False, True])
def test_two_steps_of_apfl_by_hand(adaptive: bool, schedule: list[str]) -> None:
    found, own, client = trained(APFLClient, *schedule, alpha=0.4, adaptive=adaptive)
    w, v, alpha = W0, V0, 0.4
    for _ in range(2):
        slope = gradient(alpha * v + (1 - alpha) * w)
        v, w, alpha = (
            v - 0.1 * alpha * slope,
            w - 0.1 * gradient(w),
            np.clip(alpha - 0.1 * (v - w) @ slope, 0, 1) if adaptive else alpha,
        )
    assert found == pytest.approx(w, abs=1e-6) and own == pytest.approx(v, abs=1e-6)
    mixed = alpha * v + (1 - alpha) * w
    assert client.second.parameters["weight"].detach().numpy().ravel() == pytest.approx(mixed, abs=1e-6)
    # In an evaluation the global model is another one.
    received = client.session.tensors([W0.astype(np.float32)[:, None]])
    expected = alpha * v + (1 - alpha) * W0
    assert client.personal(received)["weight"].numpy().ravel() == pytest.approx(expected, abs=1e-6)


OFF = {
    "ditto": ["algorithm.strength=0"],
    "pfedme": ["algorithm.strength=0", "algorithm.inner_steps=1"],
    "apfl": ["algorithm.alpha=1", "algorithm.adaptive=false"],
}
WORDS = ["engine=local", "partition=dirichlet", "metrics=[evaluation]"]


@pytest.fixture(scope="module")
def off(quick_run: Run) -> dict[str, Path]:
    words = {name: [f"algorithm={name}", *OFF.get(name, [])] for name in ("fedavg", "local", *ALGORITHMS)}
    return {name: quick_run(*WORDS, *own) for name, own in words.items()}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_left_alone_the_second_model_is_that_of_local_training(off: dict[str, Path], name: str) -> None:
    for client in range(4):
        own, alone = (unpack(off[run] / "state" / f"{client}@2") for run in (name, "local"))
        for array, other in zip(own["second"].values(), alone["model"].values(), strict=True):
            assert array.numpy().tobytes() == other.numpy().tobytes()  # type: ignore[union-attr]
    query = "model == 'personal' and metric == 'loss' and moment == 'after_local'"
    found = [read(off[run]).records.query(query).sort_values(["round", "client", "scope"]) for run in (name, "local")]
    assert found[0].value.tolist() == found[1].value.tolist() and len(found[0]) > 8


@pytest.mark.parametrize("name", ["ditto", "apfl"])
def test_the_global_model_is_fedavgs(off: dict[str, Path], name: str) -> None:
    assert RunFolder(off[name]).checkpoint(2)[0] == RunFolder(off["fedavg"]).checkpoint(2)[0]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_both_models_are_measured(off: dict[str, Path], name: str) -> None:
    rows = read(off[name]).records.query("metric == 'accuracy' and scope == 'client_test' and owner == 'client'")
    for moment in ("after_local", "after_aggregate", "final"):
        models = rows[rows.moment == moment].groupby(["round", "client"], observed=True).model.agg(sorted)
        assert len(models) >= 4 and set(map(tuple, models)) == {("global", "personal")}


def test_two_batch_norms_keep_apart(quick_run: Run) -> None:
    norm = "model._target_=tests.support.odd_models.TinyBatchNorm"
    run, alone = (quick_run(*WORDS, norm, f"algorithm={name}", *OFF.get(name, [])) for name in ("ditto", "local"))
    one, other = (unpack(found / "state" / "0@2") for found in (run, alone))
    for name, array in one["second_buffers"].items():
        assert array.numpy().tobytes() == other["buffers"][name].numpy().tobytes()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: DittoClient(None, -1), r"algorithm.strength must be 0 or more \(0 is local training\), got -1"),  # type: ignore[arg-type]
        (lambda: PFedMeClient(None, -1, 1, 1), r"algorithm.strength must be 0 or more"),  # type: ignore[arg-type]
        (lambda: PFedMeClient(None, 1, 0, 1), "algorithm.inner_steps must be 1 or more, got 0"),  # type: ignore[arg-type]
        (lambda: PFedMeClient(None, 1, 1, 0), "algorithm.eta must be a positive number, got 0"),  # type: ignore[arg-type]
        (lambda: APFLClient(None, 1.5, True), r"algorithm.alpha must be in \[0, 1\] \(1 is local training\), got 1.5"),  # type: ignore[arg-type]
    ],
)
def test_arguments_out_of_range_are_refused(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make()


OFF = {
    "ditto": ["algorithm.strength=0"],
    "pfedme": ["algorithm.strength=0", "algorithm.inner_steps=1"],
    "apfl": ["algorithm.alpha=1", "algorithm.adaptive=false"],
}


def kept(run: Path, client: int, part: str) -> dict[str, bytes]:
    """Return the arrays of a record of a client's state after round 2."""
    record = records_of(unpack(run / "state" / f"{client}@2"), ArrayRecord)[part]
    return {name: array.numpy().tobytes() for name, array in record.items()}


@pytest.fixture(scope="module")
def with_plan(quick_run: Run) -> dict[str, Path]:
    words = ["engine=local", "metrics=[evaluation,weights]", "partition=dirichlet"]
    kinds = {"fedavg": ["plan=head"], "local": ["algorithm=local"]}
    return {name: quick_run(*words, *more) for name, more in kinds.items()}


@pytest.mark.parametrize("name", OFF)
def test_the_shared_model_follows_the_plan(with_plan: dict[str, Path], quick_run: Run, name: str) -> None:
    words = ["engine=local", "metrics=[evaluation,weights]", "partition=dirichlet", "plan=head"]
    run = quick_run(*words, f"algorithm={name}", *OFF[name])
    if name != "pfedme":  # whose shared model does not move with strength 0
        assert RunFolder(run).checkpoint(2)[0] == RunFolder(with_plan["fedavg"]).checkpoint(2)[0]
    for client in range(4):
        # APFL keeps v, which is all of the mixture.
        assert kept(run, client, "second") == kept(with_plan["local"], client, "model")
        assert set(kept(run, client, "model")) == {"fc2.weight", "fc2.bias"}
    rows = read(run).records.query("metric == 'loss' and owner == 'client' and moment == 'after_aggregate'")
    assert set(rows.model) == {"global", "personal"} and (rows.status == "ok").all()


def test_ditto_is_held_near_the_layers_that_came() -> None:
    client = DittoClient.__new__(DittoClient)
    client.strength = 0.5
    client.session = SimpleNamespace(received=["body"])  # type: ignore[assignment]
    weights = {name: torch.full((2,), 3.0) for name in ("body", "head")}
    reference = {"body": torch.ones(2), "head": torch.zeros(2)}
    assert float(client.pull(weights, reference)) == 0.25 * 2 * 2.0**2


def test_fedrod_needs_the_head_to_be_shared(quick_run: Run) -> None:
    sentence = "plan must be one that shares fc2, beside which each client has a head of its own, got 'head'; choose"
    with pytest.raises(UserError, match=sentence):
        quick_run("engine=local", "algorithm=fedrod", "plan=head")
    with pytest.raises(UserError, match="plan must be one that stays the same with FedRoDClient, which takes every"):
        quick_run("engine=local", "algorithm=fedrod", "plan=drawn")


@pytest.mark.parametrize("name", ["apfl", "fedrod"])
def test_another_learner_beside_a_mixture_is_refused(quick_run: Run, name: str) -> None:
    sentence = r"learner must be end_to_end with this algorithm, which changes what a step is, got 'greedy'"
    with pytest.raises(UserError, match=sentence):
        quick_run("engine=local", f"algorithm={name}", "learner=greedy", "rounds=1")


@pytest.mark.parametrize("name", ["ditto", "pfedme", "localadaptation"])
def test_another_learner_trains_both_models(quick_run: Run, name: str) -> None:
    words = ["learner=greedy", "model.hidden=[8,8]", "rounds=1", "metrics=[evaluation]"]
    rows = read(quick_run("engine=local", f"algorithm={name}", *words)).records
    final = rows.query("moment == 'final' and metric == 'loss' and scope == 'client_test' and owner == 'client'")
    assert set(final.model) == {"global", "personal"} and (final.status == "ok").all()


@pytest.mark.parametrize("name", ["apfl", "ditto", "fedrod", "pfedme"])
def test_clients_are_compared_on_the_shared_model_and_the_tables_say_so(quick_run: Run, name: str) -> None:
    words = ["engine=local", f"algorithm={name}", "rounds=1", "metrics=[weights]"]
    rows = read(quick_run(*words)).records.query("moment == 'after_local' and owner == 'client' and layer != layer")
    compared = rows[rows.metric.isin(["drift", "update_cosine"])]
    assert set(compared.model) == {"global"}
    assert set(rows[rows.metric == "update_norm"].model) == {"global", "personal"}
