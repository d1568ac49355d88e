"""Training dynamics of clients: equal to a naive loop, in cohorts and with any learner, and alarms while it happens."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import fedlayers
from fedlayers.core.layers import layers_of
from fedlayers.core.records import Record, Row, Spectrum
from fedlayers.core.schedule import Step
from metrics.tracking.follower import Followed, LocalTraining
from metrics.training_dynamics.federated import TrainingDynamics
from metrics.training_dynamics.gradients.layer_looks import LayerLooks
from metrics.training_dynamics.gradients.stacked_looks import StackedLooks
from tests.support.metric_views import assert_in_range, network, some_rows

QUANTITIES = ("step_gradient_norm", "step_weight_norm", "update_ratio", "dead_unit_share")


def naive(model: nn.Module, steps: int, looks: LayerLooks) -> dict[str, list[dict[str, float]]]:
    """Train by plain autograd, show it to some looks, and return norms by layer and step, from concatenated vectors."""
    examples, found = some_rows(16), dict[str, list[dict[str, float]]]()
    weights = {name: tensor.detach() for name, tensor in model.named_parameters()}
    looks.start(weights)
    for number in range(1, steps + 1):
        model.zero_grad()
        nn.functional.cross_entropy(model(examples.features), examples.labels).backward()  # type: ignore[no-untyped-call]
        gradients = {name: t.grad.clone() for name, t in model.named_parameters() if t.grad is not None}
        before = {name: tensor.double() for name, tensor in weights.items()}
        with torch.no_grad():
            for name, tensor in model.named_parameters():
                tensor.sub_(0.1 * gradients[name])
        for layer in layers_of(model):

            def norm(tensors: Mapping[str, Tensor], layer: Any = layer) -> float:
                return float(torch.cat([tensors[name].double().flatten() for name in layer.names]).norm())

            update = {name: weights[name].double() - before[name] for name in weights}
            found.setdefault(layer.name, []).append(
                {"gradient": norm(gradients), "weight": norm(before), "ratio": norm(update) / norm(before)}
            )
        step = Step(number, steps, 4)
        if looks.wants(step):
            looks.look(step, weights, gradients)
    return found


def of(model: nn.Module, number: int = 5, last: int = 10) -> LocalTraining:
    return LocalTraining({name: tensor.detach() for name, tensor in model.named_parameters()}, number, last)


def by_layer(rows: list[Row], metric: str) -> dict[str | None, Record]:
    return {row.layer: row for row in rows if isinstance(row, Record) and row.metric == metric}


@pytest.mark.parametrize(("every", "window"), [(1, 4), (3, 2), (3, 100)])
def test_norms_and_ratios_are_those_of_a_naive_loop(every: int, window: int) -> None:
    model, metric = network(), TrainingDynamics(every, window)
    looks = metric.follow(layers_of(model), of(model))
    expected = naive(model, 11, looks)
    rows = looks.finish().rows
    assert_in_range(metric, [row for row in rows if isinstance(row, Record)])
    for layer, steps in expected.items():
        seen = steps[::every]
        gradients = [one["gradient"] for one in seen]
        mean, largest = (by_layer(rows, f"step_gradient_norm{end}")[layer] for end in ("", "_max"))
        assert mean.value == pytest.approx(np.mean(gradients), rel=1e-5) and mean.n == len(seen)
        assert mean.stderr == pytest.approx(np.std(gradients, ddof=1) / len(seen) ** 0.5, rel=1e-4)
        assert largest.value == pytest.approx(max(gradients), rel=1e-5)
        size = sum(tensor.numel() for name, tensor in model.named_parameters() if name.rpartition(".")[0] == layer)
        assert by_layer(rows, "step_gradient_rms")[layer].value == pytest.approx(np.mean(gradients) / size**0.5)
        assert by_layer(rows, "step_weight_norm")[layer].value == pytest.approx(np.mean([x["weight"] for x in seen]))
        ratio = by_layer(rows, "update_ratio")[layer]
        assert ratio.value == pytest.approx(np.mean([x["ratio"] for x in seen]), rel=1e-3)


def test_norms_of_large_weights_are_exact_enough() -> None:
    big = nn.Linear(1500, 1500)
    looks = TrainingDynamics().follow(layers_of(big), of(big))
    weights = {name: tensor.detach() for name, tensor in big.named_parameters()}
    exact = sum(tensor.square().sum(dtype=torch.float64) for tensor in weights.values())
    looks.start(weights)
    looks.look(Step(1, 1, 1), weights, weights)
    rows = looks.finish().rows
    for metric in ("step_gradient_norm", "step_weight_norm"):
        assert by_layer(rows, metric)["(model)"].value == pytest.approx(float(exact) ** 0.5, rel=3e-6)


@pytest.mark.parametrize(("number", "last", "steps"), [(1, 5, [0, None]), (2, 5, []), (3, 5, [None]), (5, 5, [None])])
def test_weights_are_counted_before_and_after_the_first_after_the_middle_and_the_last_round(
    number: int, last: int, steps: list[int | None]
) -> None:
    model = network()
    looks = TrainingDynamics().follow(layers_of(model), of(model, number, last))
    weight = dict(model.named_parameters())["0.weight"].detach()
    before = weight.clone()
    weight.mul_(2)
    rows = [row for row in looks.finish().rows if isinstance(row, Spectrum) and row.metric == "weight_histogram"]
    own = [row for row in rows if row.layer == "0"]
    assert [row.step for row in own] == steps and len(rows) == len(own) * len(layers_of(model))
    for row in own:
        weights = before if row.step == 0 else 2 * before
        assert sum(row.y) == weights.numel()
        half = (row.x[1] - row.x[0]) / 2
        assert (row.x[0] - half, row.x[-1] + half) == pytest.approx(
            (float(weights.min()), float(weights.max())), rel=1e-5
        )


def told(gradient: Callable[[int], Tensor], steps: int, window: int = 4) -> Followed:
    """Return what is seen where one of two layers has these gradients; five steps are an epoch."""
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    looks = TrainingDynamics(1, window).follow(layers_of(model), of(model))
    weights = {name: tensor.detach() for name, tensor in model.named_parameters()}
    looks.start(weights)
    for number in range(1, steps + 1):
        gradients = {name: torch.ones_like(tensor) for name, tensor in weights.items()}
        gradients["0.weight"] = gradient(number).expand(2, 3)
        gradients["0.bias"] = gradient(number).flatten()[:1].expand(2)
        looks.look(Step(number, steps, 5), weights, gradients)
    return looks.finish()


@pytest.mark.parametrize(
    ("gradient", "kind", "step"),
    [
        (lambda number: torch.tensor(1.0 if number < 11 else 400.0), "exploding", 11),
        (lambda number: torch.tensor(1.0 if number < 7 else 400.0), "exploding", 7),
        (lambda number: torch.tensor(float("nan") if number == 7 else 1.0), "not_finite", 7),
        (lambda number: torch.tensor(1.0 if number < 9 else 1e-9), "vanishing", 9),
        (lambda number: torch.zeros(2, 3), "dead_units", 1),
    ],
)
def test_an_alarm_begins_at_its_step_and_epoch(gradient: Callable[[int], Tensor], kind: str, step: int) -> None:
    found = told(gradient, 12)
    (began,) = [row for row in found.rows if row.metric == "gradient_alarm_epoch" and row.subject == kind]
    assert isinstance(began, Record) and (began.layer, began.step, began.value) == ("0", step, (step - 1) // 5 + 1)
    (alarm,) = [alarm for alarm in found.alarms if alarm.startswith(kind.replace("_", " "))]
    assert f"layer 0, epoch {(step - 1) // 5 + 1}, step {step}: " in alarm
    counts = {row.layer: row.value for row in found.rows if row.metric == "gradient_alarms" and row.subject == kind}  # type: ignore[union-attr]
    assert counts["0"] >= 1 and counts["1"] == 0


def test_an_explosion_in_the_first_window_is_found() -> None:
    found = told(lambda number: torch.tensor(1.0 if number < 9 else 500.0), 10, window=100)
    assert [alarm.partition(":")[0] for alarm in found.alarms] == ["exploding"] and "step 9" in found.alarms[0]


def dynamics(run: Path) -> pd.DataFrame:
    records = fedlayers.read(run).records
    return records[records.metric.isin(QUANTITIES)].set_index(["client", "layer", "metric"])[["value", "n", "model"]]


def test_a_run_has_rows_of_every_client_layer_and_round_and_its_other_numbers_stay(
    quick_run: Callable[..., Path],
) -> None:
    chosen = ("rounds=2", "training.batch_size=16")
    run, plain = quick_run("metrics=[evaluation,dynamics]", *chosen), quick_run("metrics=[evaluation]", *chosen)
    tables = fedlayers.read(run)
    rows = tables.records[tables.records.metric.isin(QUANTITIES)]
    assert set(rows.moment) == {"after_local"} and set(rows.model) == {"personal"} and set(rows["round"]) == {1, 2}
    assert len(rows) == rows.client.nunique() * rows.layer.nunique() * 2 * len(QUANTITIES)
    assert (rows.status == "ok").all() and (rows.value >= 0).all()
    others = tables.records[~tables.records.metric.isin([fact.name for fact in TrainingDynamics.facts])]
    columns = ["round", "moment", "client", "metric", "scope", "value"]
    left, right = (rows[columns].map(str).to_numpy() for rows in (others, fedlayers.read(plain).records))
    assert (left == right).all()
    seconds = tables.resources[tables.resources.metric == "measure_dynamics"]
    assert len(seconds) == rows.client.nunique() * 2 and (seconds.value > 0).all()
    assert tables.quantities["update_ratio"].unit == "1"


def test_a_cohort_has_the_numbers_of_clients_alone(quick_run: Callable[..., Path]) -> None:
    chosen = ("metrics=[evaluation,dynamics]", "rounds=1", "training.batch_size=8", "metrics.dynamics.every=3")
    alone, together = (dynamics(quick_run(*chosen, f"training.cohort={size}")) for size in (1, 4))
    assert len(alone) and (alone.n == together.n).all()
    np.testing.assert_allclose(alone.value, together.value, rtol=1e-4, atol=1e-7)


def test_clients_of_a_cohort_are_looked_at_in_one_go_to_the_same_numbers() -> None:
    layers, lengths, names = layers_of(network()), (9, 9, 4), [name for name, _ in network().named_parameters()]
    torch.manual_seed(0)
    weights = {name: torch.randn(3, *tensor.shape) for name, tensor in network().named_parameters()}
    alone, stacked = ([TrainingDynamics(2, 3).follow(layers, of(network())) for _ in lengths] for _ in range(2))
    together = LayerLooks.together(stacked)
    together.start(weights)
    for client, looks in enumerate(alone):
        looks.start({name: weights[name][client] for name in names})
    for number in range(1, 10):
        clients = slice(0, sum(length >= number for length in lengths))
        gradients = {name: torch.randn_like(tensor[clients]) * (number != 5) for name, tensor in weights.items()}
        for name, gradient in gradients.items():
            weights[name][clients] -= 0.1 * gradient
        steps = [Step(number, length, 3) for length in lengths if length >= number]
        if together.wants(steps[0]):
            together.look(steps, clients, weights, gradients)
        for client, step in enumerate(steps):
            if alone[client].wants(step):
                alone[client].look(step, *({n: t[client] for n, t in own.items()} for own in (weights, gradients)))
    together.close()
    assert [looks.finish() for looks in stacked] == [looks.finish() for looks in alone]


def test_what_looks_at_a_cohort_in_one_go_takes_its_clients_over_and_fails_for_each_of_them(
    quick_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no eyes")

    monkeypatch.setattr(StackedLooks, "look", broken)
    run = quick_run("metrics=[evaluation,dynamics]", "rounds=1", "training.cohort=4")
    records = fedlayers.read(run).records
    missing = records[records.metric == "dynamics"]
    assert len(missing) == records.client.nunique() and set(missing.reason) == {"RuntimeError: no eyes"}
    assert (records.query("metric == 'training_loss'").status == "ok").all()


def test_a_part_that_is_trained_first_is_followed_and_counts_its_steps_first(quick_run: Callable[..., Path]) -> None:
    chosen = ("algorithm=fedrep", "algorithm.head_epochs=2", "training.batch_size=8", "metrics.dynamics.every=1")
    found = dynamics(quick_run("metrics=[evaluation,dynamics]", "rounds=1", *chosen)).xs("step_gradient_norm", level=2)
    head, body = (found.xs(layer, level="layer").n for layer in ("fc2", "fc1"))
    assert (head == 2 * body).all()


def test_the_steps_of_an_earlier_part_are_counted_where_none_of_its_last_ones_was_looked_at() -> None:
    looks = TrainingDynamics(20, 10).follow(layers_of(network()), of(network()))
    weights = {name: tensor.detach() for name, tensor in network().named_parameters()}
    for _ in range(2):
        looks.start(weights)
        looks.look(Step(1, 10, 5), weights, {name: tensor * torch.nan for name, tensor in weights.items()})
    began = [row for row in looks.finish().rows if row.metric == "gradient_alarm_epoch"]
    assert {(row.step, row.value) for row in began if isinstance(row, Record)} == {(1, 1.0)}
    assert looks._steps_before == 10 and looks._epochs_before == 2


def test_of_two_models_that_are_trained_at_once_both_are_followed(quick_run: Callable[..., Path]) -> None:
    chosen = ("algorithm=pfedme", "algorithm.eta=0.01", "training.steps=1", "metrics=[evaluation,dynamics]", "rounds=1")
    found = dynamics(quick_run(*chosen, "algorithm.inner_steps=1", "training.momentum=0", "training.lr=0.1"))
    assert set(found.model) == {"global", "personal"}
    shared, own = (found[found.model == model].value.unstack("metric") for model in ("global", "personal"))
    # w ← w − η λ (w − θ): its gradient is λ (w − θ). θ ← θ − lr g.
    for value, rate in ((shared, 0.01), (own, 0.1)):
        moved = value.update_ratio * value.step_weight_norm
        np.testing.assert_allclose(moved, rate * value.step_gradient_norm, rtol=1e-4)


@pytest.mark.parametrize(
    "algorithm",
    [("ditto", "algorithm.strength=0"), ("apfl", "algorithm.alpha=1", "algorithm.adaptive=false")],
    ids=lambda chosen: chosen[0],
)
def test_a_personal_model_that_is_trained_alone_is_followed_as_one(
    quick_run: Callable[..., Path], algorithm: tuple[str, ...]
) -> None:
    chosen = ("metrics=[evaluation,dynamics]", "rounds=1", "training.batch_size=16", "metrics.dynamics.every=3")
    name, *settings = algorithm
    both = dynamics(quick_run(*chosen, f"algorithm={name}", *settings))
    alone = dynamics(quick_run(*chosen, "algorithm=local"))
    own = both[both.model == "personal"]
    assert own.index.equals(alone.index) and (own.n == alone.n).all() and (own.value == alone.value).all()
    assert (both.model == "global").sum() == len(alone)


def test_a_layer_that_is_not_trained_is_missing(quick_run: Callable[..., Path]) -> None:
    run = quick_run("algorithm=fedbabu", "metrics=[evaluation,dynamics]", "rounds=1")
    rows = fedlayers.read(run).records.query("metric == 'step_gradient_norm' and layer == 'fc2'")
    assert set(rows.reason) == {"no gradient: the layer is not trained"}


def test_alarms_are_told_while_the_run_goes_on_and_stand_in_its_log(
    quick_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ("training.lr=1e8", "training.batch_size=8", "metrics.dynamics.every=1", "progress=plain", "rounds=2")
    run = quick_run("metrics=[evaluation,dynamics]", *chosen)
    alarms = [line for line in capsys.readouterr().err.splitlines() if line.startswith("alarm: ")]
    log = (run / "log.txt").read_text()
    assert alarms and all(alarm in log for alarm in alarms)
    assert any("round 1, client 0: " in alarm and "layer" in alarm and ", epoch 1, step " in alarm for alarm in alarms)
    assert any("not finite" in alarm or "exploding" in alarm for alarm in alarms)
    assert (run / "done.json").exists()


def test_alarms_of_a_personal_model_say_so(quick_run: Callable[..., Path]) -> None:
    chosen = ("algorithm=ditto", "training.lr=1e8", "training.batch_size=8", "metrics.dynamics.every=1", "rounds=1")
    log = (quick_run("metrics=[evaluation,dynamics]", "clients=2", *chosen) / "log.txt").read_text()
    kinds = {line.partition("client 0: ")[2].partition(":")[0] for line in log.splitlines() if "client 0: " in line}
    assert {"not finite", "not finite, personal model"} <= kinds


class Broken(TrainingDynamics):
    """Cannot look."""

    def follow(self, layers: Any, training: Any) -> LayerLooks:
        raise RuntimeError("no eyes")


class Blinded(TrainingDynamics):
    """Sees nothing any more from its first look on."""

    def follow(self, layers: Any, training: Any) -> LayerLooks:
        looks = super().follow(layers, training)
        looks._alone._measure = None  # type: ignore[assignment, method-assign]
        return looks


@pytest.mark.parametrize(("name", "reason"), [("Broken", "RuntimeError: no eyes"), ("Blinded", "TypeError: ")])
def test_one_that_fails_is_missing_and_training_goes_on(quick_run: Callable[..., Path], name: str, reason: str) -> None:
    target = f"+metrics.mine={{_target_:{__name__}.{name}}}"
    records = fedlayers.read(quick_run("metrics=[evaluation]", target, "rounds=1")).records
    missing = records[records.metric == "mine"]
    assert len(missing) == records.client.nunique() and missing.reason.str.startswith(reason).all()
    assert (records.query("metric == 'training_loss'").status == "ok").all()


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"every": 0}, "every must be 1 or more, got 0"),
        ({"window": True}, "window must be 1 or more, got True"),
        ({"moments": ["final"]}, r"moments must be \[after_local\], to which training leads, got \['final'\]"),
    ],
)
def test_what_it_cannot_do_is_said(setting: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        TrainingDynamics(**setting)
