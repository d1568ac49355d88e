"""What the view Rounds shows: curves, who took part, and what it took."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fedlayers
from fedlayers.charts.measured import measured
from fedlayers.charts.over_rounds import curves
from fedlayers.charts.participation import participation
from fedlayers.charts.resources import adds, resources
from fedlayers.charts.study.run_scores import small_curve
from fedlayers.core.errors import UserError
from fedlayers.core.quantities import Quantities
from fedlayers.core.records import Resource, missing, to_table
from fedlayers.runs.reading.parts import to_pandas
from fedlayers.runs.reading.tables import Tables
from tests.support.fake_run import write_run
from tests.support.figure_tables import frame


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return fedlayers.read(write_run(tmp_path_factory.mktemp("main"), clients=4))


def given(tables: Tables, **frames: pd.DataFrame) -> Tables:
    """Return the tables with other rows in some of them."""
    found = Tables(tables.path, tables.runs, several=False)
    vars(found).update(frames)
    return found


def shown(columns: Any) -> Any:
    return pd.DataFrame(columns)


def test_a_line_is_mean_and_band_over_clients_and_each_client_beside_it(tables: Tables) -> None:
    charted = curves(tables, "accuracy")
    rows = shown(charted.columns)
    names = [line["name"] for line in charted.facts["lines"]]
    assert names == ["clients, after local training", "clients, after aggregation", "server's test set, global model"]
    assert charted.facts["label"] == "accuracy" and charted.facts["scale"]["kind"] == "linear"
    records = tables.records
    chosen = records[(records["metric"] == "accuracy") & (records["scope"] == "client_test")]
    own = chosen[(chosen["moment"] == "after_local") & (chosen["round"] == 2)].set_index("client")["value"]
    here = rows[(rows["line"] == names[0]) & (rows["round"] == 2)]
    (mean,) = here[here["client"].isna()].itertuples()
    assert (mean.value, mean.low, mean.high) == pytest.approx((own.mean(), own.min(), own.max()))
    each = here[here["client"].notna()].set_index("client")["value"]
    assert each.to_dict() == pytest.approx({float(str(client)): value for client, value in own.items()})
    assert charted.facts["lines"][0]["band"] == "bands: lowest to highest of clients"


def test_a_metric_of_layers_is_that_of_a_layer(tables: Tables) -> None:
    first, named = curves(tables, "update_norm"), curves(tables, "update_norm", layer="head")
    assert first.facts["layer"] == "conv1" and first.facts["layers"] == ["conv1", "conv2", "head"]
    records = tables.records
    own = records[(records["metric"] == "update_norm") & (records["layer"] == "head") & (records["round"] == 4)]
    rows = shown(named.columns)
    rows = rows[rows["client"].isna() & (rows["round"] == 4)].set_index("line")["value"]
    assert rows["clients, after local training"] == pytest.approx(own[own["moment"] == "after_local"]["value"].mean())
    with pytest.raises(UserError, match=r"layer must be one of conv1, conv2, head, got 'haed' .did you mean head"):
        curves(tables, "update_norm", layer="haed")
    with pytest.raises(UserError, match="the run has no values of nix over its rounds: choose another metric"):
        curves(tables, "nix")
    with pytest.raises(UserError, match="no values of loss of layer head over its rounds"):
        curves(tables, "loss", layer="head")


def test_of_many_clients_some_are_drawn_and_the_asked_one_is(tmp_path: Path) -> None:
    tables = fedlayers.read(write_run(tmp_path, clients=130, rounds=1))
    charted = curves(tables, "loss", client=7)
    drawn = set(shown(charted.columns)["client"].dropna())
    assert 7 in drawn and {0, 129} <= drawn and len(drawn) <= 61
    assert charted.facts["notes"] == ["60 of 130 clients are drawn one by one; means and bands are of all"]
    assert charted.facts["lines"][0]["count"] == 130
    # Who is drawn unasked: of more than a few no one but that one, with the same means and bands.
    few = curves(tables, "loss", client=7, few=129)
    assert set(shown(few.columns)["client"].dropna()) == {7} and few.facts["notes"] == []
    means, drawn_means = (
        one[one["client"].isna()].reset_index(drop=True) for one in map(shown, (charted.columns, few.columns))
    )
    assert means.equals(drawn_means) and few.facts["lines"] == charted.facts["lines"]
    assert shown(curves(tables, "loss", few=129).columns)["client"].isna().all()
    assert shown(curves(tables, "loss", client=7, few=130).columns).equals(shown(charted.columns))


def test_metrics_are_told_of_models_and_of_layers(tables: Tables) -> None:
    found = shown(measured(tables).columns).set_index("metric")
    assert set(found.index) == set(tables.records["metric"].unique())
    assert found.loc["accuracy", ["of_model", "of_layers"]].tolist() == [True, False]
    assert found.loc["update_norm", ["of_model", "of_layers"]].tolist() == [False, True]
    assert found.loc["loss", "label"] == "loss (nat)" and found.loc["loss", "direction"] == "lower"


def test_who_failed_is_told_with_the_reason(tables: Tables) -> None:
    where: dict[str, Any] = {"run": "r", "owner": "client"}
    lost = [
        missing("client", "out of <b>memory</b>", client=1, round=2, moment=moment, **where)
        for moment in ("after_local", "after_aggregate")
    ]
    spent = [Resource("train_s", 1.0, "s", client=client, round=1, **where) for client in (0, 1)]
    spent += [Resource("train_s", 1.0, "s", client=0, round=3, **where)]
    charted = participation(
        given(tables, records=frame(lost, "records"), resources=to_pandas(to_table("resources", spent)))
    )
    rows = shown(charted.columns)
    assert rows.to_dict("list") == {"round": [1, 2, 3], "trained": [2, 0, 1], "failed": [0, 1, 0]}
    assert [(one["round"], one["name"], one["reason"]) for one in charted.facts["failures"]] == [
        (2, "1", "out of <b>memory</b>")
    ] * 2
    nothing = given(tables, records=tables.records[:0], resources=tables.resources[:0])
    with pytest.raises(UserError, match="the run does not say who trained"):
        participation(nothing)


def test_resources_are_summed_over_moments_and_clients_where_that_makes_sense(tables: Tables) -> None:
    spent = [
        Resource(metric, value, unit, run="r", owner="client", client=client, round=1, moment=moment)
        for metric, value, unit in (("train_s", 2.0, "s"), ("host_memory", 5.0, "bytes"), ("sent", 3.0, "bytes"))
        for client in (0, 1)
        for moment in ("after_local", "after_aggregate")
    ]
    spent.append(Resource("component_s", 9.0, "s", subject="conv", run="r", owner="client", client=0, round=1))
    charted = resources(given(tables, resources=to_pandas(to_table("resources", spent))))
    rows = shown(charted.columns).set_index("metric")
    assert rows.loc["train_s", ["value", "low", "high", "total"]].tolist() == [4.0, 4.0, 4.0, 8.0]
    assert rows.loc["sent", ["value", "total"]].tolist() == [6.0, 12.0]
    assert rows.loc["host_memory", "value"] == 5.0 and np.isnan(rows.loc["host_memory", "total"])
    assert "component_s" not in rows.index
    # What the final evaluation took is of no round, and told beside them.
    end = [
        Resource(metric, 1.5, unit, run="r", owner="client", client=client, round=1, moment="final")
        for metric, unit in (("sent", "bytes"), ("host_memory", "bytes"))
        for client in (0, 1)
    ]
    with_end = resources(given(tables, resources=to_pandas(to_table("resources", [*spent, *end]))))
    assert {line["metric"]: line["final"] for line in with_end.facts["lines"]} == {
        "train_s": None, "sent": 3.0, "host_memory": None,
    }  # fmt: skip
    pd.testing.assert_frame_equal(shown(with_end.columns), shown(charted.columns))
    assert {line["metric"]: line["label"] for line in charted.facts["lines"]}["train_s"] == "train (s)"
    with pytest.raises(UserError, match="the run has no resources"):
        resources(given(tables, resources=tables.resources[:0]))
    assert not adds("throughput", "examples/s") and not adds("server_memory", "bytes")


def test_the_worst_client_of_a_run_that_states_nothing_is_the_one_of_lowest_accuracy(tables: Tables) -> None:
    records = tables.records
    final = records[(records["metric"] == "accuracy") & (records["moment"] == "final") & records["client"].notna()]
    final = final[final["scope"] == "client_test"]
    for quantities in (tables.quantities, Quantities()):
        assert small_curve(records, quantities).worst == pytest.approx(final["value"].min())
    losses = records[records["metric"] != "accuracy"]
    assert small_curve(losses, Quantities()).worst == small_curve(losses, tables.quantities).worst
