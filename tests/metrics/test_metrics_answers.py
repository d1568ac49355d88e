"""What a metric of a user's own may do and answer: slips become missing values with a reason, and no weight changes."""

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedlayers.core.errors import UserError
from fedlayers.core.records import Record, Resource
from fedlayers.core.schedule import Step
from fedlayers.measuring.build import build_metrics
from metrics.base import ClientView, Facts, Measurement, Metric, measured
from metrics.measure import measure_clients, measure_step
from metrics.weights import Weights
from tests.support.metric_views import client_view, network, some_rows

pytestmark = pytest.mark.usefixtures("device")


class Own(Metric):
    """Answers what it is given."""

    facts = (Facts("own", "1", -math.inf, math.inf, "neutral", "own definition"),)
    answer: Any = None

    def client(self, view: ClientView) -> Measurement:
        answer: Measurement = type(self).answer
        return answer

    def step(self, *_: Any) -> Any:
        return [Record("own", torch.tensor(2.0))]  # type: ignore[arg-type]


class Plain(Metric):
    """Measures nothing."""


class Writes(Own):
    """Writes into the weights."""

    def client(self, view: ClientView) -> Measurement:
        for tensor in view.parameters.values():
            tensor.data.abs_()
        return Measurement([measured("own", 1.0)])


class WritesIntoTheModule(Own):
    """Writes into the module that computes with the weights."""

    def client(self, view: ClientView) -> Measurement:
        for tensor in view.module.parameters():
            tensor.data.abs_()
        return Measurement([measured("own", 1.0)])


class Sees(Own):
    """Tells the least weight of the module."""

    def client(self, view: ClientView) -> Measurement:
        return Measurement([measured("own", min(float(tensor.detach().min()) for tensor in view.module.parameters()))])


class Accuracy(Own):
    """States what evaluation measures."""

    facts = (Facts("accuracy", "1", 0.0, 1.0, "higher", "own definition"),)


def answered(answer: Any, monkeypatch: pytest.MonkeyPatch) -> Record:
    monkeypatch.setattr(Own, "answer", answer)
    rows, _ = measure_clients({"mine": Own()}, client_view(network(), {"client_train": some_rows(9)}), 1)
    row = rows[0]
    assert isinstance(row, Record)
    return row


@pytest.mark.parametrize(
    "value", [torch.tensor(0.5), np.float32(0.5), np.array(0.5), 0.5, torch.tensor(0.5, dtype=torch.float64)]
)
def test_any_kind_of_number_is_a_number(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    row = answered(Measurement([measured("own", value, stderr=value)]), monkeypatch)
    assert (row.value, row.stderr, row.status) == (0.5, 0.5, "ok")
    assert type(row.value) is float and type(row.stderr) is float


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([measured("own", 1.0)], "Own.client must return a Measurement, got list"),
        (None, "Own.client must return a Measurement, got NoneType"),
        (Measurement([1.0]), r"Own.client must return rows of measured(...), got float among them"),  # type: ignore[list-item]
        (Measurement([Record("other", 1.0)]), "Own.client must return what its facts state (own), got 'other'"),
        (Measurement([Record("own", torch.ones(2))]), "whose value is one number, got shape (2,)"),  # type: ignore[arg-type]
        (Measurement([Record("own", "high")]), "Own.client must return rows whose value is a number, got 'high'"),  # type: ignore[arg-type]
        (Measurement([Record("own", True)]), "Own.client must return rows whose value is a number, got True"),
    ],
)
def test_other_answers_are_missing_with_the_reason(answer: Any, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = answered(answer, monkeypatch)
    assert (row.metric, row.status) == ("mine", "missing") and reason in str(row.reason)


def test_weights_that_a_metric_changes_are_put_back() -> None:
    module = network()
    view = client_view(module, {"client_train": some_rows(9)})
    view.parameters["0.weight"][0, 0] = math.nan
    before = {name: tensor.clone() for name, tensor in view.parameters.items()}
    rows, _ = measure_clients({"writes": Writes()}, view, 1)
    assert isinstance(rows[0], Record) and rows[0].status == "missing"
    assert "ValueError: it must leave the weights as they are, but changed 0.weight, " in str(rows[0].reason)
    for name, tensor in view.parameters.items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0, equal_nan=True)
    with pytest.raises(ValueError, match=r"must leave the weights as they are, but changed .*; they are put back"):
        measure_clients({"writes": Writes()}, view, 1, on_error="raise")


def test_a_module_that_a_metric_changes_is_as_it_was_for_the_next_one() -> None:
    module = network()
    least = min(float(tensor.detach().min()) for tensor in module.parameters())
    (wrote, _, seen, _), _ = measure_clients(
        {"writes": WritesIntoTheModule(), "sees": Sees()}, client_view(module, {}), 1
    )
    assert isinstance(wrote, Record) and wrote.status == "missing" and "but changed 0.weight, " in str(wrote.reason)
    assert isinstance(seen, Record) and seen.value == least < 0


def test_a_start_that_is_the_weights_is_guarded_like_them() -> None:
    class WritesIntoTheStart(Own):
        def client(self, view: ClientView) -> Measurement:
            next(iter(view.reference.values())).data.add_(1)
            return Measurement([measured("own", 1.0)])

    view = client_view(network(), {})
    before = {name: tensor.clone() for name, tensor in view.parameters.items()}
    with pytest.raises(
        ValueError, match=r"must leave the weights as they are, but changed 0\.weight; they are put back"
    ):
        measure_clients({"writes": WritesIntoTheStart()}, view, 1, on_error="raise")
    torch.testing.assert_close(dict(view.parameters), before, rtol=0, atol=0)


def test_a_module_is_filled_when_a_metric_first_looks_at_it() -> None:
    filled = list[int]()
    module, view = network(), client_view(network(), {})

    def fill() -> None:
        filled.append(1)
        module.load_state_dict(dict(view.parameters))

    with torch.no_grad():
        for tensor in module.parameters():
            tensor.fill_(9.0)
    view = replace(view, module=module)
    least = min(float(tensor.min()) for tensor in view.parameters.values())
    measure_clients({"weights": Weights(rounds=["all"])}, view, 1, fill=fill)
    assert not filled and all(bool((tensor == 9).all()) for tensor in module.parameters())
    metrics = {"weights": Weights(rounds=["all"]), "writes": WritesIntoTheModule(), "sees": Sees()}
    rows, _ = measure_clients(metrics, view, 1, fill=fill)
    wrote, seen = (row for row in rows if isinstance(row, Record) and row.metric in ("own", "writes"))
    assert len(filled) == 1 and wrote.status == "missing" and seen.value == least < 0


def test_buffers_that_a_metric_changes_are_put_back() -> None:
    found = list[float]()

    class Counts(Own):
        def client(self, view: ClientView) -> Measurement:
            (buffer,) = view.module.buffers()
            found.append(float(buffer.add_(1)))
            return Measurement([])

    module, steps = network(), torch.zeros(())
    module.register_buffer("steps", steps)
    measure_clients({"one": Counts(), "other": Counts()}, client_view(module, {}), 1, on_error="raise")
    assert found == [1, 1] and float(steps) == 0


def test_weights_that_nobody_looks_at_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    view, copied = client_view(network(), {}), list[Any]()
    plain = torch.Tensor.clone

    def clone(tensor: torch.Tensor) -> torch.Tensor:
        copied.append(tensor.shape)
        return plain(tensor)

    monkeypatch.setattr(torch.Tensor, "clone", clone)
    measure_clients({"sees": Sees()}, view, 1, on_error="raise")
    assert not copied
    measure_clients({"weights": Weights()}, view, 1, on_error="raise")
    assert len(copied) >= len(view.parameters)


def test_inside_training_too() -> None:
    weights, mine = {"w": torch.ones(2)}, Own(steps=["every 3"])
    assert measure_step({"mine": mine}, (), weights, weights, Step(2, 9, 9), seed=0) == []
    row, seconds = measure_step({"mine": mine}, (), weights, weights, Step(6, 9, 9), seed=0)
    assert isinstance(row, Record) and row.value == 2.0 and type(row.value) is float and row.step == 6
    assert isinstance(seconds, Resource) and (seconds.metric, seconds.step) == ("measure_mine", 6)


def global_generators() -> list[Any]:
    return [torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate()]


def test_what_a_metric_draws_inside_training_moves_no_other_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = lambda *_: [measured("own", float(torch.rand(())) + np.random.rand() + random.random())]  # noqa: E731
    monkeypatch.setattr(Own, "step", drawn)
    weights, mine = {"w": torch.ones(2)}, Own(steps=["all"])
    before = global_generators()
    rows = [measure_step({"mine": mine}, (), weights, weights, Step(n, 9, 9), seed=3)[0] for n in (1, 2, 1)]
    assert global_generators() == before
    assert rows[0] == rows[2] and rows[0].value != rows[1].value  # type: ignore[union-attr]


def test_a_metric_without_a_step_half_refuses_steps() -> None:
    entries = {"mine": {"_target_": f"{__name__}.Plain", "steps": ["every 3"]}}
    allowed = r"metrics\.mine\.steps must be \[\] for what measures nothing inside local training, got \['every 3'\]"
    with pytest.raises(UserError, match=allowed):
        build_metrics(entries)


def test_distances_on_the_probe_may_be_measured_as_similarities_too() -> None:
    cka = {"_target_": "metrics.compare.measures.cka.CKA"}
    entries: dict[str, Any] = {
        "distances": {"_target_": "metrics.client_distances.Distances", "names": ["cka_dst", "l2_dst"]},
        "similarity": {"_target_": "metrics.similarity.Similarity", "measures": {"cka": cka}},
    }
    assert list(build_metrics(entries)) == ["distances", "similarity"]
    entries["more"] = entries["distances"]
    with pytest.raises(
        UserError, match=r"metrics.more must state quantities of its own in its facts, got l2_dst, which"
    ):
        build_metrics(entries)


def test_two_metrics_of_one_quantity_are_refused() -> None:
    entries = {
        "evaluation": {"_target_": "metrics.evaluation.Evaluation"},
        "mine": {"_target_": f"{__name__}.Accuracy"},
    }
    with pytest.raises(
        UserError, match=r"metrics.mine must state quantities of its own in its facts, got accuracy, which"
    ):
        build_metrics(entries)
