"""What clients' work takes and what travels, against clocks and sizes worked out by hand."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from torch import Tensor, nn

import fedlayers
from fedlayers.core.errors import UserError
from fedlayers.core.layers import Layer, layers_of
from fedlayers.core.records import Resource
from fedlayers.core.schedule import Step
from fedlayers.core.weights import to_safetensors_bytes
from fedlayers.flower.contents import array_record
from fedlayers.flower.traffic import traffic_rows
from metrics.base import Metric
from metrics.resource_usage.federated import ResourceUsage
from metrics.resource_usage.work import Work
from metrics.tracking.follower import Followed, Follower, LocalTraining


def values(rows: list[Resource], *metrics: str) -> dict[tuple[str, str | None], float]:
    return {(row.metric, row.subject): row.value for row in rows if row.metric in metrics}


def test_parts_lie_inside_one_another_and_the_rest_is_other() -> None:
    ticks = iter([0.0, 1.0, 2.0, 5.0, 8.0, 10.0])
    work = Work(torch.device("cpu"), lambda: next(ticks))
    with work.part("train"), work.part("inner"):
        pass
    work.add("train/dynamics", 2.0)
    found = values(work.rows(), "message_s", "component_s", "component_own_s")
    assert found == {
        ("message_s", None): 10.0,
        ("component_s", "train/inner"): 3.0,
        ("component_own_s", "train/inner"): 3.0,
        ("component_s", "train"): 7.0,
        ("component_own_s", "train"): 2.0,
        ("component_s", "train/dynamics"): 2.0,
        ("component_own_s", "train/dynamics"): 2.0,
        ("component_s", "other"): 3.0,
        ("component_own_s", "other"): 3.0,
    }


def test_a_part_that_fails_is_timed_and_ended() -> None:
    ticks = iter([0.0, 1.0, 4.0, 5.0])
    work = Work(torch.device("cpu"), lambda: next(ticks))
    with pytest.raises(ZeroDivisionError), work.part("train"):
        raise ZeroDivisionError
    assert values(work.rows(), "component_s") == {("component_s", "train"): 3.0, ("component_s", "other"): 2.0}


def test_energy_is_what_the_counter_went_up(monkeypatch: pytest.MonkeyPatch) -> None:
    joules = iter([100.0, 130.0])
    monkeypatch.setattr("metrics.resource_usage.power.Power.energy_j", lambda _: next(joules))
    monkeypatch.setattr("metrics.resource_usage.power.Power.utilisation", lambda _: 0.5)
    found = values(list(Work(torch.device("cpu")).rows()), "energy", "gpu_utilisation")
    assert found == {("energy", None): 30.0, ("gpu_utilisation", None): 0.5}


def test_memory_is_that_of_the_process_and_never_above_its_peak() -> None:
    found = values(list(Work(torch.device("cpu")).rows()), "host_memory", "peak_host_memory")
    assert 0 < found["host_memory", None] <= found["peak_host_memory", None]


def test_bytes_are_numbers_times_their_size_by_layer_buffers_included() -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))
    weights = {name: tensor.detach() for name, tensor in model.named_parameters()}
    buffers = to_safetensors_bytes(dict(model.named_buffers()))
    content = RecordDict(
        {
            "arrays": array_record(weights),
            "control": array_record({"0.weight": weights["0.weight"].double()}),
            "config": ConfigRecord({"buffers": buffers}),
        }
    )
    shared = {name: tensor for name, tensor in weights.items() if not name.startswith("2")}
    reply = RecordDict(
        {"arrays": array_record(shared), "fedlayers": ConfigRecord({"buffers": buffers, "records": b"1234"})}
    )
    found: dict[tuple[str, str | None, str | None], float] = {}
    for row in traffic_rows(content, reply, layers_of(model)):
        assert isinstance(row, Resource) and row.unit == "bytes"
        found[row.metric, row.layer, row.subject] = row.value
    # Of batch normalisation: weight, bias, mean and variance in four bytes each, and a counter in eight.
    first, norm, last, control = 4 * (6 * 5 + 5), 4 * 4 * 5 + 8, 4 * (5 * 3 + 3), 8 * 6 * 5
    assert found == {
        ("bytes_received", "0", None): first,
        ("bytes_received", "1", None): norm,
        ("bytes_received", "2", None): last,
        ("bytes_received", None, "control"): control,
        ("bytes_received", None, None): first + norm + last + control,
        ("bytes_sent", "0", None): first,
        ("bytes_sent", "1", None): norm,
        ("bytes_sent", "2", None): 0,
        ("bytes_sent", None, None): first + norm,
        ("bytes_measured", None, None): 4,
    }
    nothing = traffic_rows(RecordDict({"arrays": ArrayRecord()}), RecordDict(), ())
    assert [row.value for row in nothing if isinstance(row, Resource)] == [0, 0, 0]


def test_a_layout_of_arrays_that_came_before_says_the_same_of_these_layers_and_of_no_others() -> None:
    one, other = nn.Sequential(nn.Linear(6, 5)), nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
    layers, others = layers_of(one), layers_of(other)
    content = RecordDict({"arrays": array_record({name: tensor.detach() for name, tensor in one.named_parameters()})})
    first = traffic_rows(content, content, layers)
    assert traffic_rows(content, content, layers) == first
    names = [row.layer for row in traffic_rows(content, content, others) if row.metric == "bytes_sent"]
    assert names == ["0", "1", None]
    wider = RecordDict({"arrays": array_record({"0.weight": torch.zeros(5, 6).double(), "0.bias": torch.zeros(5)})})
    sizes = [row.value for row in traffic_rows(wider, content, layers) if isinstance(row, Resource)]
    assert sizes == [8 * 30 + 4 * 5] * 2 + [4 * 35] * 2 + [0]


@pytest.fixture(scope="module")
def run(quick_run: Callable[..., Path]) -> Path:
    """Return a run whose last layer stays with clients, who train as a cohort."""
    chosen = ("plan=head", "model.hidden=[9]", "training.cohort=4", "training.batch_size=16", "rounds=1")
    return quick_run("metrics=[evaluation,dynamics,resources]", *chosen)


@pytest.fixture(scope="module")
def resources(run: Path) -> pd.DataFrame:
    return fedlayers.read(run).resources


def of(rows: pd.DataFrame, metric: str, moment: str = "after_local", **columns: object) -> pd.Series:
    chosen = rows[(rows.metric == metric) & (rows.moment == moment)]
    for column, value in columns.items():
        chosen = chosen[chosen[column].isna() if value is None else chosen[column] == value]
    return chosen.set_index("client").value.sort_index()


def test_layers_that_stay_send_nothing(resources: pd.DataFrame) -> None:
    shared = 4 * (64 * 9 + 9)
    for metric in ("bytes_received", "bytes_sent"):
        assert (of(resources, metric, layer="fc1") == shared).all() and (of(resources, metric, layer="fc2") == 0).all()
        assert (of(resources, metric, layer=None, subject=None) == shared).all()
    assert (of(resources, "bytes_received", "after_aggregate", layer=None, subject=None) == shared).all()
    assert (of(resources, "bytes_sent", "after_aggregate", layer=None, subject=None) == 0).all()


def test_throughput_is_examples_by_seconds(run: Path, resources: pd.DataFrame) -> None:
    losses = fedlayers.read(run).records.query("metric == 'training_loss'").set_index("client").sort_index()
    np.testing.assert_allclose(of(resources, "throughput") * of(resources, "train_s"), losses.n.astype(float))


class SlowLooks(Metric):
    """Looks at each client of a cohort by itself, and takes longer than the training."""

    def follow(self, layers: Sequence[Layer], training: LocalTraining) -> Follower:
        return SlowFollower()


class SlowFollower(Follower):
    """Takes its time before the first step, at it, and after the last one."""

    def __init__(self) -> None:
        time.sleep(0.02)

    def wants(self, step: Step) -> bool:
        return step.number == 1

    def start(self, weights: Mapping[str, Tensor]) -> None:
        pass

    def look(self, step: Step, weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> None:
        time.sleep(0.02)

    def finish(self) -> Followed:
        time.sleep(0.02)
        return Followed()


def test_parts_add_up_where_each_client_of_a_cohort_is_looked_at_by_itself(quick_run: Callable[..., Path]) -> None:
    slow = f"+metrics.slow={{_target_:{__name__}.SlowLooks}}"
    chosen = ("metrics=[evaluation,resources]", slow, "training.cohort=4", "partition=dirichlet", "rounds=1")
    resources = fedlayers.read(quick_run(*chosen)).resources
    assert (of(resources, "component_s", subject="train/slow") > 0.06).all()
    assert_parts_add_up(resources, "after_local")
    assert (of(resources, "throughput") > 0).all()


def assert_parts_add_up(resources: pd.DataFrame, moment: str) -> None:
    whole = of(resources, "message_s", moment)
    own = resources[(resources.metric == "component_own_s") & (resources.moment == moment)]
    np.testing.assert_allclose(own.groupby("client").value.sum(), whole, rtol=1e-6)


def test_parts_add_up_to_the_whole(resources: pd.DataFrame) -> None:
    for moment, parts in (("after_local", {"unpack", "train", "measure", "pack", "other"}), ("after_aggregate", set())):
        rows = resources[(resources.metric == "component_s") & (resources.moment == moment)]
        outer = rows[~rows.subject.astype(str).str.contains("/")]
        np.testing.assert_allclose(outer.groupby("client").value.sum(), of(resources, "message_s", moment), rtol=1e-9)
        assert_parts_add_up(resources, moment)
        assert parts <= set(outer.subject)
    inner = set(resources[resources.metric == "component_s"].subject.dropna())
    assert {"measure/evaluation", "train/dynamics"} <= inner


def test_operations_are_counted_once_for_the_network(resources: pd.DataFrame) -> None:
    rows = resources[resources.metric == "forward_flops"]
    assert set(rows.moment) == {"start"} and set(rows.owner) == {"server"}
    assert rows.set_index("layer").value.dropna().to_dict() == pytest.approx(
        {"fc1": 2 * 64 * 9, "fc2": 2 * 9 * 10, np.nan: 2 * 64 * 9 + 2 * 9 * 10}, nan_ok=True
    )


def test_what_is_beside_the_model_counts_and_pooled_examples_belong_to_nobody(quick_run: Callable[..., Path]) -> None:
    scaffold = fedlayers.read(quick_run("algorithm=scaffold", "metrics=[evaluation,resources]", "rounds=1")).resources
    control, whole = (of(scaffold, "bytes_sent", layer=None, subject=name) for name in ("control", None))
    assert len(control) and (whole == 2 * control).all()
    pooled = fedlayers.read(quick_run("algorithm=centralized", "metrics=[evaluation,resources]", "rounds=1")).resources
    trained = pooled[(pooled.metric == "message_s") & (pooled.moment == "after_local")]
    assert set(trained.owner) == {"server"} and trained.client.isna().all()


class Uncountable(ResourceUsage):
    """Fails where it counts operations."""

    def network(self, *_: object) -> list[object]:  # type: ignore[override]
        raise RuntimeError("no operations")


def test_a_network_that_cannot_be_counted_is_missing(quick_run: Callable[..., Path]) -> None:
    chosen = ("metrics=[evaluation]", f"+metrics.mine={{_target_:{__name__}.Uncountable}}", "rounds=1")
    records = fedlayers.read(quick_run(*chosen)).records
    assert records[records.metric == "mine"].reason.tolist() == ["RuntimeError: no operations"]
    with pytest.raises((RuntimeError, UserError), match="no operations"):
        quick_run(*chosen, "metrics.on_error=raise")
