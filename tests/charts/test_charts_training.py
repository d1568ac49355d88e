"""Charts of classes and training, against the tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedlayers.charts.charted import Charted
from fedlayers.charts.training.classes import class_scores, tier_scores
from fedlayers.charts.training.dynamics import alarms, attention, gradient_flow, resources
from fedlayers.core.errors import UserError
from fedlayers.core.records import Record
from fedlayers.runs.reading.tables import Tables, read
from tests.support.fake_run import write_run
from tests.support.figure_tables import frame


@pytest.fixture(scope="module")
def tables(quick_run: Callable[..., Path]) -> Tables:
    words = ["metrics=[evaluation,classes,attention]", "model=vision_transformer", "engine=local", "rounds=2"]
    return read(quick_run(*words))


def rows_of(charted: Charted) -> pd.DataFrame:
    found: pd.DataFrame = charted.table().to_pandas()
    return found


def test_scores_of_classes_are_those_of_the_table(tables: Tables) -> None:
    found = class_scores(tables, "class_recall")
    rows = tables.records[tables.records["metric"] == "class_recall"]
    shown = rows_of(found)
    np.testing.assert_array_equal(shown["value"], rows["value"])
    assert shown["class"].tolist() == rows["subject"].tolist()
    assert found.facts["classes"] == [str(label) for label in range(10)]
    assert found.facts["series"][0] == "after aggregation, client test"
    assert found.facts["metrics"] == ["class_f1", "class_precision", "class_recall", "class_ap"]
    reasons = shown.loc[shown["value"].isna(), "reason"]
    assert len(reasons) and reasons.notna().all()
    assert shown.loc[shown["series"].str.contains("server test"), "client_name"].unique().tolist() == ["server"]


def test_tiers_are_means_over_clients(tables: Tables) -> None:
    found = tier_scores(tables, "tier_ap")
    assert found.facts["tiers"] == ["head", "medium", "tail"]
    rows = tables.records
    rows = rows[(rows["metric"] == "tier_ap") & (rows["moment"] == "after_local") & (rows["status"] == "ok")]
    shown = rows_of(found)
    seen = 0
    for (way, tier, number), own in rows.groupby(["variant", "subject", "round"], observed=True):
        at = shown["series"].str.startswith("after local training") & shown["series"].str.endswith(
            str(way).replace("_", " ")
        )
        (line,) = shown[at & (shown["tier"] == tier) & (shown["round"] == number)].itertuples()
        assert line.mean == pytest.approx(own["value"].mean()) and line.low == own["value"].min()
        seen += 1
    assert seen > 3


def test_attention_has_a_value_for_each_head_of_each_layer(tables: Tables) -> None:
    found = attention(tables, "attention_peak")
    assert (found.facts["layers"], found.facts["heads"]) == (
        ["blocks.0.attention", "blocks.1.attention"], ["head 0", "head 1"],
    )  # fmt: skip
    assert found.facts["label"] == "attention peak" and np.isfinite(rows_of(found)["mean"]).all()


def test_what_training_took_has_its_unit(tables: Tables) -> None:
    found = resources(tables)
    table = tables.resources
    own = table[(table["metric"] == "train_s") & (table["round"] == 1)]["value"]
    shown = rows_of(found)
    assert found.facts["label"] == "train (s)" and found.facts["band"] == "bands: lowest to highest of clients"
    assert shown.loc[shown["round"] == 1, "mean"].tolist() == pytest.approx([own.mean()])


def test_layers_stand_in_the_order_of_the_model_and_none_is_asked_for_in_vain(tmp_path: Path) -> None:
    tables = read(write_run(tmp_path, layers=6))
    found = gradient_flow(tables)
    names = list(tables.records.dropna(subset="layer").sort_values("layer_index")["layer"].unique())
    assert found.facts["layers"] == names and found.facts["metrics"] == ["update_norm", "norm"]
    with pytest.raises(UserError, match=r"metric must be some of norm, update_norm, got 'nix'"):
        gradient_flow(tables, "nix")
    for chart in (class_scores, tier_scores, attention):
        assert len(chart(tables)) == 0 and "run" in chart(tables).facts["without"]


def test_alarms_are_counts_above_zero_the_latest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where: dict[str, Any] = {
        "moment": "after_local",
        "owner": "client",
        "model": "personal",
        "layer": "fc1",
        "layer_index": 0,
    }
    rows = [
        Record("gradient_alarms", float(count), run="r", round=number, client=1, subject=kind, **where)
        for number, kind, count in ((1, "vanishing", 2), (2, "exploding", 1), (2, "vanishing", 0))
    ]
    tables = read(write_run(tmp_path))
    assert alarms(tables).facts == {"looked": False, "total": 0.0}
    monkeypatch.setitem(tables.__dict__, "records", frame(rows, "records"))
    found = alarms(tables)
    assert rows_of(found)["kind"].tolist() == ["exploding", "vanishing"]
    assert found.facts == {"looked": True, "total": 3.0}
