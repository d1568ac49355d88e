"""Runs that read stages off: at every moment, inside local training, on every engine, and left alone by it."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

import fedlayers
from fedlayers.core.errors import UserError
from fedlayers.core.records import Row
from metrics.base import ClientView, Facts, Metric, measured
from metrics.readout import Readout

Run = Callable[..., Path]
FEW = [
    "engine=local",
    "rounds=1",
    "metrics=[evaluation,readout]",
    "metrics.readout.permutations=0",
    "probe.size=40",
    "clients=2",
]
INSIDE = [*FEW, "metrics.readout.steps=[every 2,last]"]
# With statistics that training changes, and something that it draws.
NORMS = ["model=custom", "model._target_=tests.metrics.test_readout_runs.Norms", "+model.hidden=[12]"]
KEYS = ["client", "layer", "metric", "variant"]


class Norms(nn.Sequential):
    def __init__(self, input_shape: Sequence[int], num_classes: int, hidden: Sequence[int]) -> None:
        width, (inner,) = math.prod(input_shape), hidden
        body = (nn.Linear(width, inner), nn.BatchNorm1d(inner), nn.ReLU(), nn.Dropout(0.3), nn.Linear(inner, 8))
        super().__init__(nn.Flatten(), *body, nn.ReLU(), nn.Linear(8, num_classes))


def without_steps(records: pd.DataFrame) -> pd.DataFrame:
    return records[records.step.isna()].drop(columns="run").astype(str).reset_index(drop=True)


def read_off(run: Path) -> pd.DataFrame:
    records = fedlayers.read(run).records
    return records[records.scope == "probe"]


@pytest.mark.parametrize("more", [["model.hidden=[12,8]"], NORMS, ["model.hidden=[12,8]", "training.cohort=2"]])
def test_what_looks_inside_sees_the_model_and_changes_nothing(quick_run: Run, more: list[str]) -> None:
    found = fedlayers.read(quick_run(*INSIDE, *more)).records
    pd.testing.assert_frame_equal(without_steps(found), without_steps(fedlayers.read(quick_run(*FEW, *more)).records))
    inside = found[found.step.notna()]
    assert set(inside.moment) == {"after_local"} and set(inside.scope) == {"probe"} and set(inside.owner) == {"client"}
    for _, own in inside.groupby("client"):
        last = own.step.max()
        assert sorted(own.step.unique()) == sorted({*range(2, last + 1, 2), last})
    # After the last step it is what it is after training.
    ends = found.query("moment == 'after_local' and owner == 'client' and step.isna() and scope == 'probe'")
    lasts = inside[inside.step == inside.groupby("client").step.transform("max")]
    columns = [*KEYS, "value", "stderr", "chance", "reason"]
    pd.testing.assert_frame_equal(
        lasts[columns].sort_values(KEYS, ignore_index=True), ends[columns].sort_values(KEYS, ignore_index=True)
    )
    # And before it is something else.
    values = inside.query("metric == 'probe_js'").groupby(["client", "layer"]).value.nunique()
    assert (values > 1).all()


def test_every_moment_of_every_kind_of_model(quick_run: Run) -> None:
    moments = "metrics.readout.moments=[start,after_local,after_aggregate,final]"
    words = [*FEW, moments, "model.hidden=[12,8]"]
    shared, own = (read_off(quick_run(*words, f"algorithm={name}")) for name in ("fedavg", "local"))
    assert shared.groupby("moment").owner.unique().map(list).to_dict() == {
        "start": ["server"], "after_local": ["client"], "after_aggregate": ["server"], "final": ["server"]
    }  # fmt: skip
    assert set(own[own.moment == "final"].model) == {"personal"} and set(own.moment) == set(shared.moment)
    for found in (shared, own):
        assert set(found.metric) == {fact.name for fact in Readout.facts} and set(found.layer) == {"fc1", "fc2"}
        assert set(found[found.metric != "gaussian_entropy"].status) == {"ok"}


def test_a_central_training_is_looked_into_every_few_steps(quick_run: Run) -> None:
    words = ["algorithm=centralized", "model.hidden=[12,8]", "metrics.readout.steps=[every 3]"]
    found = read_off(quick_run(*FEW, *words))
    inside = found[found.step.notna()]
    assert set(inside.owner) == {"server"} and inside.client.isna().all() and sorted(inside.step.unique())[:2] == [3, 6]


def test_a_model_without_stages_is_refused_before_the_run(quick_run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model must be a network with stages.* got none in MLP; choose another"):
        quick_run(*FEW, "model.hidden=[]", folder=tmp_path)
    assert not list(tmp_path.rglob("config.yaml"))


@pytest.mark.slow
def test_engines_and_continued_runs_give_equal_bytes(
    quick_run: Run, tables: Callable[[Path], Any], tmp_path: Path
) -> None:
    words = [*INSIDE[2:], "model.hidden=[12,8]", "metrics.readout.rounds=[all]"]
    whole = quick_run("engine=local", *words)
    assert tables(quick_run("engine=ray", "engine.client_cpus=0.5", "engine.workers=2", *words)) == tables(whole)
    quick_run("engine=local", *words, "rounds=1", folder=tmp_path)
    continued = quick_run("engine=local", *words, folder=tmp_path)
    parts = {name: part for name, part in tables(whole).items() if "round=" in name}
    assert parts and {name: tables(continued)[name] for name in parts} == parts


class Draws(Metric):
    """Uses whatever it is given, and what training draws from."""

    facts = (Facts("drawn", "1", 0.0, 1.0, "neutral", "this test"),)

    def inside(self, view: ClientView) -> list[Row]:
        assert not view.module.training and view.parameters.keys() == dict(view.module.named_parameters()).keys()
        return [measured("drawn", float(torch.rand(())))]


class Greedy(Metric):
    """Changes the weights that it is shown."""

    facts = (Facts("drawn", "1", 0.0, 1.0, "neutral", "this test"),)

    def inside(self, view: ClientView) -> list[Row]:
        next(iter(view.parameters.values())).add_(1)
        return []


@pytest.mark.parametrize(("name", "reason"), [("Draws", None), ("Greedy", "it must leave the weights as they are")])
def test_ones_own_metric_looks_inside(quick_run: Run, name: str, reason: str | None) -> None:
    plain = ["engine=local", "metrics=[evaluation]", *NORMS, "rounds=1"]
    mine = [f"+metrics.mine._target_=tests.metrics.test_readout_runs.{name}", "+metrics.mine.steps=[all]"]
    found = fedlayers.read(quick_run(*plain, *mine)).records
    rows = found[found.step.notna()]
    assert len(rows) and (reason is None) == set(rows.status).issubset({"ok"})
    assert reason is None or rows.reason.str.contains(reason).all()
    pd.testing.assert_frame_equal(without_steps(found), without_steps(fedlayers.read(quick_run(*plain)).records))


def test_a_chain_that_trains_by_itself_is_looked_into(quick_run: Run) -> None:
    words = [word for word in INSIDE if "permutations" not in word]
    chain = ["model=greedy_mlp", "model.width=12", "model.layers=2", "model.anchors=learned"]
    found = read_off(quick_run(*words, *chain, "metrics.readout.permutations=5"))
    inside = found[found.step.notna()]
    assert set(inside.layer) == {"fc1", "fc2"} and len(inside.step.unique()) > 1
    accuracies = found[found.metric == "anchor_accuracy"]
    assert (
        set(accuracies.variant) == {"learned, cosine"} and accuracies.p.notna().all() and accuracies.step.isna().any()
    )
    alignment = inside[inside.metric == "anchor_alignment"].groupby(["client", "layer"]).value.nunique()
    assert (alignment > 1).all()
