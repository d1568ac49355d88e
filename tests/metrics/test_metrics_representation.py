"""The rows of a representation's geometry: what is in them, what is missing, and a run of it."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fedlayers
from fedlayers.core.records import Record, Row
from metrics.base import ClientView
from metrics.geometry.effective_rank import effective_rank
from metrics.geometry.gaussian_entropy import gaussian_entropy
from metrics.geometry.participation_ratio import plain_participation_ratio
from metrics.geometry.principal_coordinates import principal_coordinates
from metrics.representation import Representation
from metrics.statistics.score_errors import accuracy_error
from tests.support.metric_views import Rows, assert_in_range, client_view, network, some_rows, value_of

pytestmark = pytest.mark.usefixtures("device")

PLAIN = "plain, pooled"
DEBIASED = "debiased, pooled"
OF_LABELS = ("probe_accuracy", "label_information", "within_class_share")


def view_of(module: nn.Module, probe: Rows | None) -> ClientView:
    return replace(client_view(module, {}), probe=probe)


def measured_rows(module: nn.Module, probe: Rows, **arguments: Any) -> list[Row]:
    metric = Representation(**arguments)
    rows = metric.client(view_of(module, probe)).rows
    assert_in_range(metric, rows)
    return rows


def of_layer(rows: list[Row], layer: str) -> list[Record]:
    return [row for row in rows if isinstance(row, Record) and row.layer == layer]


def clear(n: int, seed: int = 0) -> Rows:
    """Return examples whose four classes are one of the first four features each, rotated by nothing."""
    rows = some_rows(n, seed)
    rows.features[torch.arange(n), rows.labels] += 6
    return rows


def output(module: nn.Module, layer: str, probe: Rows) -> Tensor:
    found: Tensor = module[: int(layer) + 1](probe.features).detach()  # type: ignore[index]
    return found


def test_rows_hold_what_the_functions_give() -> None:
    module, probe = network(), clear(120)
    rows = measured_rows(module, probe)
    assert [row.metric for row in of_layer(rows, "0")] == [
        "participation_ratio", "participation_ratio", "effective_rank", "gaussian_entropy", *OF_LABELS
    ]  # fmt: skip
    assert all(isinstance(row, Record) and (row.scope, row.n, row.status) == ("probe", 120, "ok") for row in rows)
    for layer in ("0", "2", "3"):
        coordinates = principal_coordinates(output(module, layer, probe))
        value = value_of(rows, "participation_ratio", layer=layer, variant=PLAIN).value
        assert value == pytest.approx(plain_participation_ratio(coordinates), rel=1e-5)
        rank = value_of(rows, "effective_rank", layer=layer, variant="pooled")
        assert (rank.value, rank.stderr) == pytest.approx(effective_rank(coordinates), rel=1e-5)
        entropy = value_of(rows, "gaussian_entropy", layer=layer, variant="eps=0.001, pooled")
        assert (entropy.value, entropy.stderr) == pytest.approx(gaussian_entropy(coordinates, 1e-3), rel=1e-5)
    debiased = value_of(rows, "participation_ratio", layer="0", variant=DEBIASED)
    plain = value_of(rows, "participation_ratio", layer="0", variant=PLAIN)
    assert debiased.value > plain.value and debiased.stderr and plain.stderr is None


def test_labels_that_can_be_read_off_are_told_from_chance() -> None:
    rows = measured_rows(network(), clear(120))
    accuracy = value_of(rows, "probe_accuracy", layer="0")
    assert accuracy.value > 0.9 and accuracy.p == 1 / 101
    assert accuracy.stderr == pytest.approx(accuracy_error(120 * accuracy.value, 120))
    assert accuracy.chance == pytest.approx(0.25, abs=0.03) and 0.28 < (accuracy.chance_hi or 0) < 0.4
    assert accuracy.variant == "examples/df=4, folds=5, pooled"
    information = value_of(rows, "label_information", layer="0")
    assert 1 < information.value <= math.log(4) and information.p == 1 / 101
    assert 0 < (information.chance or 0) < (information.chance_hi or 0) < 0.2
    share = value_of(rows, "within_class_share", layer="0")
    assert share.value < 0.6 and share.chance == 116 / 119 and share.chance_hi is None


def test_shuffled_labels_are_at_chance() -> None:
    probe = clear(400)
    probe.labels = probe.labels[torch.randperm(400, generator=torch.Generator().manual_seed(1))]
    for layer in ("0", "2", "3"):
        rows = of_layer(measured_rows(network(), probe), layer)
        for name in OF_LABELS[:2]:
            row = value_of(rows, name, layer=layer)
            assert row.p is not None and row.p > 0.01 and row.value < 2 * (row.chance or 0)
        share = value_of(rows, "within_class_share", layer=layer)
        assert share.value == pytest.approx(share.chance, abs=4 * (share.stderr or 0))


def test_a_large_mean_changes_nothing() -> None:
    module, far, probe = network(), network(), clear(120)
    with torch.no_grad():
        far.get_parameter("0.bias").add_(100)
    for row in of_layer(measured_rows(module, probe), "0"):
        other = value_of(measured_rows(far, probe), row.metric, layer="0", variant=row.variant)
        assert other.value == pytest.approx(row.value, rel=1e-4)


def test_model_and_probe_alone_decide() -> None:
    """What differs between clients, moments and rounds is not looked at, so that only the model makes a difference."""
    view = view_of(network(), clear(60))
    other = replace(view, seed=99, round=5, moment="after_aggregate", cache={}, data={"client_train": some_rows(9)})
    assert Representation().client(view).rows == Representation().client(other).rows
    assert Representation.per_model and Representation.on_server and Representation.uses_probe


def test_flattened_positions_are_units() -> None:
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4)).eval()
    features = torch.randn(40, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    probe = Rows(features, some_rows(40).labels)
    for positions, units in (("pooled", module[0](features).mean((2, 3))), ("flattened", module[:3:2](features))):
        row = value_of(
            measured_rows(module, probe, positions=positions),
            "participation_ratio",
            layer="0",
            variant=f"plain, {positions}",
        )
        expected = plain_participation_ratio(principal_coordinates(units.detach()))
        assert row.value == pytest.approx(expected, rel=1e-5)


def test_dead_layers_are_missing_and_others_are_not() -> None:
    module = network()
    with torch.no_grad():
        module.get_parameter("3.weight").zero_()
    rows = measured_rows(module, clear(60))
    dead = of_layer(rows, "3")
    assert len(dead) == 7
    assert {row.reason for row in dead} == {"the output is the same for all examples"}
    assert all(row.status == "ok" for row in of_layer(rows, "0"))


def test_layers_without_an_output_keep_its_reason() -> None:
    module = network()
    with torch.no_grad():
        module.get_parameter("0.bias").fill_(math.inf)
    rows = measured_rows(module, clear(60))
    assert {row.reason for row in of_layer(rows, "0")} == {"its output is not finite"}


@pytest.mark.parametrize("n", [1, 3])
def test_few_examples_are_missing(n: int) -> None:
    rows = measured_rows(network(), some_rows(n))
    assert len(rows) == 21
    assert all(isinstance(row, Record) and row.reason == f"4 examples or more are needed, got {n}" for row in rows)


def test_an_entropy_needs_more_examples_than_units() -> None:
    rows = measured_rows(network(), some_rows(8))
    assert value_of(rows, "gaussian_entropy", layer="0").reason == "more examples than units are needed, got 8 and 8"
    assert value_of(rows, "gaussian_entropy", layer="3").status == "ok"


def test_a_dimension_beyond_the_examples_is_missing() -> None:
    identity = nn.Sequential(nn.Linear(9, 9, bias=False)).eval()
    with torch.no_grad():
        identity.get_parameter("0.weight").copy_(torch.eye(9))
    rows = measured_rows(identity, Rows(torch.eye(9), torch.arange(9) % 2))
    reason = value_of(rows, "participation_ratio", layer="0", variant=DEBIASED).reason
    assert reason == "too few examples: tr(Σ²) cannot be told from zero"
    assert value_of(rows, "participation_ratio", layer="0", variant=PLAIN).value == pytest.approx(8)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (torch.full((40,), -1), "the probe has no labels"),
        (torch.full((40,), 2), "all labels of the probe are of one class, 2"),
    ],
    ids=["none", "one class"],
)
def test_labels_that_say_nothing(labels: Tensor, reason: str) -> None:
    rows = measured_rows(network(), Rows(some_rows(40).features, labels))
    for layer in ("0", "2", "3"):
        assert {value_of(rows, name, layer=layer).reason for name in OF_LABELS} == {reason}
        assert value_of(rows, "effective_rank", layer=layer).status == "ok"


def test_classes_of_one_example_have_no_variance_within() -> None:
    rows = measured_rows(network(), Rows(some_rows(4).features, torch.arange(4)))
    assert value_of(rows, "within_class_share", layer="0").reason == "every example is a class of its own"
    assert value_of(rows, "probe_accuracy", layer="0").value == 0


def test_without_permutations_there_is_no_null() -> None:
    rows = measured_rows(network(), clear(60), permutations=0)
    for name in OF_LABELS[:2]:
        row = value_of(rows, name, layer="0")
        assert (row.chance, row.chance_hi, row.p) == (None, None, None) and row.stderr is not None


def test_without_a_probe_there_is_nothing_to_measure() -> None:
    with pytest.raises(ValueError, match="there is no probe to measure representations on"):
        Representation().client(view_of(network(), None))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positions": "samples"}, "positions must be pooled or flattened, got 'samples'"),
        ({"folds": 1}, "folds must be 2 or more, got 1"),
        ({"permutations": -1}, "permutations must be 0 or more, got -1"),
        ({"examples_per_degree": 0.5}, "examples_per_degree must be 1 or more, got 0.5"),
    ],
    ids=str,
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Representation(**arguments)


def test_a_run_sees_layers_before_and_after_aggregation(quick_run: Callable[..., Path]) -> None:
    records = fedlayers.read(quick_run("metrics=[representation]", "probe.size=80")).records
    found = records[records["metric"] == "probe_accuracy"]
    assert (found["status"] == "ok").all()
    before, after = (found[found["moment"] == moment] for moment in ("after_local", "after_aggregate"))
    # Every client's own model; the global model once, on the server.
    assert set(before["owner"]) == {"client"} and set(before["client"]) == {0, 1, 2, 3}
    assert set(after["owner"]) == {"server"}
    assert not after.duplicated(["round", "layer"]).any()
