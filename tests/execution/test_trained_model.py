"""Where one participant trains, what it measured of its model is the global model's, and is not measured again."""

from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
import torch

from fedlayers import read
from fedlayers.execution.earlier_rows.known_rows import NOTHING
from fedlayers.flower.stamps import packed_stamp, stamp, unpacked_stamp
from metrics.readout import Readout

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
BOTH = (
    "metrics=[evaluation,readout,representation]",
    "probe.size=40",
    "metrics.readout.permutations=5",
    "engine=local",
)
TWO_LAYERS = ("model=greedy_mlp", "model.width=12", "model.layers=2")


def measured(run: Path, metric: str = "readout", moment: str = "after_aggregate") -> int:
    """Return how often a metric was measured at a moment."""
    resources = read(run).resources
    return int(((resources["metric"] == f"measure_{metric}") & (resources["moment"] == moment)).sum())


def measured_twice(quick_run: Run, *overrides: str) -> Path:
    """Return a run that takes nothing over."""
    with mock.patch("fedlayers.execution.rounds.of_trained_model", lambda *_: NOTHING):
        return quick_run(*overrides)


@pytest.mark.parametrize(
    "more",
    [
        ("algorithm=centralized",),
        ("algorithm=centralized", "metrics.readout.steps=[every 2]", *TWO_LAYERS),
        ("algorithm=centralized", "model.anchors=class_means", *TWO_LAYERS),  # which are buffers
        ("clients=1",),
        ("algorithm=fedprox", "clients=3", "fraction=0.3"),
    ],
    ids=["pooled", "chain", "buffers", "one client", "one of three"],
)
def test_the_numbers_are_those_of_measuring_twice(quick_run: Run, tables: Tables, more: tuple[str, ...]) -> None:
    run, twice = quick_run(*BOTH, *more), measured_twice(quick_run, *BOTH, *more)
    assert measured(run) == measured(run, "representation") == 0 and measured(twice) == 2
    assert tables(run) == tables(twice)
    assert measured(run, moment="after_local") == measured(twice, moment="after_local") > 0
    assert measured(run, "evaluation") == measured(twice, "evaluation") > 0


@pytest.mark.parametrize(
    "more",
    [
        (),  # several clients train
        ("algorithm=fedadam", "clients=1"),  # whose optimizer moves the model
        ("algorithm=centralized", "metrics.readout.moments=[after_aggregate]"),  # one of two that share quantities
        ("algorithm=centralized", "metrics.representation.rounds=[1]", "metrics.readout.rounds=[2]", "rounds=3"),
    ],
    ids=["average", "optimizer", "other moments", "other rounds"],
)
def test_another_model_or_time_is_measured(quick_run: Run, tables: Tables, more: tuple[str, ...]) -> None:
    run, twice = quick_run(*BOTH, *more), measured_twice(quick_run, *BOTH, *more)
    known = measured(run) < measured(twice)
    assert known == ("rounds=3" in more) and tables(run) == tables(twice)


def test_other_threads_round_otherwise_and_measure_again(quick_run: Run) -> None:
    run = quick_run(*BOTH, "clients=1", "server_threads=2")
    assert measured(run) == 2


def test_metrics_whose_rows_cannot_be_told_apart_are_measured_again(quick_run: Run) -> None:
    with mock.patch.object(Readout, "per_model", False):  # and it has quantities of representation
        run = quick_run(*BOTH, "algorithm=centralized")
        assert measured(run, "representation") == 2


def test_the_last_rows_are_taken_over_twice(quick_run: Run) -> None:
    run = quick_run("metrics=[evaluation,readout]", *BOTH[1:], "algorithm=centralized", *TWO_LAYERS)
    found = read(run).records.query("metric == 'probe_accuracy' and scope == 'probe'")
    values = found.groupby(["round", "layer"], observed=True)["value"]
    assert (values.nunique() == 1).all() and (values.size() == 2).all()
    assert set(found["owner"]) == {"server"} and set(found["model"]) == {"global"}


def test_a_stamp_is_of_every_bit_and_of_how_it_is_computed_with() -> None:
    weights, buffers = {"a": torch.randn(3, 2), "b": torch.zeros(0)}, {"count": torch.tensor(3)}
    cpu = torch.device("cpu")
    own = stamp(weights, buffers, cpu, 1)
    assert own == stamp(dict(reversed(weights.items())), buffers, cpu, 1)
    changed = weights["a"].clone()
    changed.view(torch.int32)[2, 1] ^= 1
    others = [
        stamp({**weights, "a": changed}, buffers, cpu, 1),
        stamp({**weights, "a": weights["a"].T.contiguous()}, buffers, cpu, 1),
        stamp({**weights, "a": weights["a"].double()}, buffers, cpu, 1),
        stamp(weights, {"count": torch.tensor(4)}, cpu, 1),
        stamp(weights, buffers, torch.device("meta"), 1),
        stamp(weights, buffers, cpu, 2),
    ]
    assert own not in others and len(set(others)) == len(others)
    assert unpacked_stamp(packed_stamp("personal", own)) == ("personal", own)
    # Zero and minus zero compare as equal, and are not the same bits.
    assert stamp({"a": torch.zeros(1)}, {}, cpu, 1) != stamp({"a": -torch.zeros(1)}, {}, cpu, 1)
