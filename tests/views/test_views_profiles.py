"""Which rows layer profiles are made of: tables in, tidy frames out."""

from typing import Any

import numpy as np
import pandas as pd

from fedlayers.core.quantities import Quantities
from fedlayers.core.records import Record, Row, addressed
from fedlayers.views.client_profiles import client_curvature, curvature_rows
from fedlayers.views.densities import hessian_densities
from fedlayers.views.numbered import names_in, numbered, parts_of
from fedlayers.views.places import LayerAxis, placed
from fedlayers.views.profiles import last_profiles, last_study_profiles, layer_metrics, layer_profile, study_profile
from fedlayers.views.rounds import in_columns, rounds_of_layers
from fedlayers.views.run_groups import Group, Setting
from fedlayers.views.thinning import evenly
from tests.support.figure_tables import Measured, frame, layer_rows

ADDRESS: dict[str, Any] = {"run": "r", "round": 1, "moment": "after_local", "owner": "client", "client": 0}


def records(*rows: Record, **address: Any) -> pd.DataFrame:
    return frame(addressed(rows, **(ADDRESS | address)), "records")


def at(layer: int, value: float = 1.0, **more: Any) -> Record:
    return Record("m", value, layer=f"l{layer}", layer_index=layer, **more)


def setting(**runs: tuple[str, ...]) -> Setting:
    return Setting("", {}, Quantities(), tuple(Group(name, of_group) for name, of_group in runs.items()))


def test_rows_are_numbered_by_their_part() -> None:
    rows = pd.DataFrame({"value": [1, 2, 3, 4]}, index=[7, 5, 3, 1])
    found = numbered(rows, [("b", rows[rows["value"] > 3]), ("a", rows[rows["value"] == 2])], "panel")
    assert found["panel"].tolist() == [-1, 1, -1, 0] and found["panel_name"].tolist() == ["", "a", "", "b"]
    assert [(name, part["value"].tolist()) for name, part in parts_of(found, "panel")] == [("b", [4]), ("a", [2])]
    assert names_in(found, "panel") == {0: "b", 1: "a"}
    assert "panel" not in rows


def test_layers_have_places_in_the_order_of_the_model() -> None:
    facts = {"layers": [{"index": 4, "kind": "norm"}, {"index": 9, "kind": "linear"}]}
    rows = placed(records(at(9), at(4, np.nan, status="missing"), at(2)), facts)
    assert rows["place"].tolist() == [2, 1, 0] and rows["norm"].tolist() == [False, True, False]
    axis = LayerAxis.of(rows)
    assert axis == LayerAxis(["l2", "l4", "l9"], frozenset({1}))
    assert axis.lined(rows).tolist() == [0, 2] and axis.lined(rows.assign(status="ok", value=1.0)).tolist() == [0, 1, 2]


def test_columns_are_the_first_and_the_last_round() -> None:
    moments = [("start", 0), ("after_local", 1), ("after_local", 2), ("after_local", 3), ("final", 3)]
    rows = pd.DataFrame(moments, columns=["moment", "round"])
    found = in_columns(rows)
    assert found["column"].tolist() == [0, 0, -1, 1, 1]
    assert found["column_name"].tolist() == ["round 1", "round 1", "", "round 3", "round 3"]
    assert in_columns(rows[:2])["column_name"].tolist() == ["round 1", "round 1"]
    assert names_in(in_columns(rows[-1:]), "column") == {0: ""}


def test_rounds_of_layers_are_those_of_all_tables() -> None:
    one, two = records(at(0), round=3), records(at(0), round=1)
    whole = records(Record("m", 1.0), round=7)
    assert rounds_of_layers([one, whole, two]) == [1, 3]


def test_a_profile_has_a_panel_per_model_scope_and_variant_that_differ() -> None:
    rows = [at(0, variant=variant, scope=scope) for variant, scope in (("a", "probe"), ("b", "probe"), ("a", "space"))]
    found = layer_profile(records(*rows, model="global"), "m", {})
    assert found.groupby("panel_name")["panel"].agg(list).to_dict() == {
        "probe, a": [0],
        "probe, b": [1],
        "space, a": [2],
    }
    one = layer_profile(records(at(0, variant="exact"), at(1, variant="sketch")), "m", {})
    assert names_in(one, "panel") == {0: "exact / sketch"}


def test_a_profiles_lines_are_clients_and_server_by_moment() -> None:
    rows = pd.concat(
        [records(at(0), moment="final"), records(at(0)), records(at(0), owner="server", client=None)], ignore_index=True
    )
    found = layer_profile(rows, "m", {})
    by_line = found.sort_values("line")[["moment", "who"]]
    assert by_line.astype(str).to_numpy().tolist() == [
        ["after_local", "clients"], ["after_local", "server"], ["final", "clients"],
    ]  # fmt: skip
    assert found["line"].nunique() == 3


def test_norm_layers_without_values_are_in_no_panel() -> None:
    facts = {"layers": [{"index": 1, "kind": "norm"}]}
    found = layer_profile(records(at(0), at(1, np.nan, status="missing"), at(2)), "m", facts)
    assert found["panel"].tolist() == [0, -1, 0] and found["place"].tolist() == [0, 1, 2]


def test_profiles_say_what_they_show_if_not_all_examples() -> None:
    whole = layer_profile(records(at(0, 1.0), at(0, 9.0, subject="cat")), "m", {})
    assert (whole["value"].tolist(), set(whole["note"])) == ([1.0], {""})
    means = layer_profile(records(at(0, 2.0, subject="cat"), at(0, 5.0, subject="dog")), "m", {})
    assert (means["value"].tolist(), set(means["note"])) == ([3.5], {"mean over cat, dog"})
    many = layer_profile(records(*(at(0, 1.0, subject=str(number)) for number in range(5))), "m", {})
    assert set(many["note"]) == {"mean over 5 subjects"}
    ranked = [Record("hessian_eigenvalue", v, layer="l", layer_index=0, subject=s) for v, s in ((9.0, "1"), (4.0, "2"))]
    largest = layer_profile(records(*ranked), "hessian_eigenvalue", {})
    assert (largest["value"].tolist(), set(largest["note"])) == ([9.0], {"the largest in magnitude"})


def test_steps_inside_training_stand_in_where_nothing_was_measured_at_moments() -> None:
    steps = [at(0, float(step), step=step) for step in (2, 10, 9)]
    found = layer_profile(records(*steps), "m", {})
    assert (found["value"].tolist(), set(found["note"])) == ([10.0], {"at the last step measured"})
    found = layer_profile(records(*steps, at(0, 3.0)), "m", {})
    assert (found["value"].tolist(), set(found["note"])) == ([3.0], {""})


def test_the_overview_has_the_first_panel_of_the_last_round_with_values() -> None:
    rows = pd.concat(
        [
            records(at(0, 1.0, variant="a"), at(0, 2.0, variant="b"), round=1),
            records(at(0, 3.0, variant="a"), at(0, 4.0, variant="b"), round=2),
            records(at(0, np.nan, status="missing", variant="a"), round=3),
            records(Record("other", 5.0, layer="l1", layer_index=1), round=1),
        ],
        ignore_index=True,
    )
    assert layer_metrics(rows) == ["m", "other"]
    found = last_profiles(rows, ["other", "m"], {})
    assert found[["metric", "value", "panel", "panel_name", "place"]].astype(object).to_numpy().tolist() == [
        ["other", 5.0, 0, "", 1], ["m", 3.0, 1, "a", 0],
    ]  # fmt: skip


def test_a_studys_panels_are_moments_and_who_was_measured_and_its_lines_groups() -> None:
    rows = pd.concat(
        [
            records(at(0, 1.0), run="a"),
            records(at(0, 2.0), run="b", moment="after_aggregate"),
            records(at(0, 3.0), run="b", owner="server", client=None),
            records(at(0, np.nan, status="missing"), run="b", moment="final"),
        ],
        ignore_index=True,
    )
    found = study_profile(rows, "m", setting(fedavg=("a",), fedprox=("b",)))
    assert found["panel_name"].tolist() == [
        "clients, after local training", "clients, after aggregation", "server, after local training", "",
    ]  # fmt: skip
    assert found["panel"].tolist() == [0, 1, 2, -1]
    assert found["group_name"].tolist() == ["fedavg", "fedprox", "fedprox", "fedprox"]
    last = last_study_profiles(rows, ["m"], setting(fedavg=("a",), fedprox=("b",)))
    assert last[["panel_name", "group_name", "value"]].to_numpy().tolist() == [
        ["clients, after local training", "fedavg", 1.0]
    ]


def test_of_curvature_each_client_has_one_value_a_layer_and_round() -> None:
    measured = Measured(clients=2, layers=3)
    rows = frame(list(layer_rows(measured)), "records").astype({"variant": object})
    trace = rows["metric"] == "hessian_trace"
    both = pd.concat(
        [rows[~trace], rows[trace].assign(variant="b"), rows[trace].assign(variant="a")], ignore_index=True
    )
    found = client_curvature(both, measured.facts)
    assert list(names_in(found, "panel").values()) == [
        "gradient variance\nover parameters", "Hessian trace", "cumulative\nsensitivity $S_l$",
    ]  # fmt: skip
    shown = found[found["panel"] == 1]
    assert set(shown["variant"]) == {"a"} and not shown.duplicated(["client", "layer", "round"]).any()
    assert (found[found["variant"] == "b"]["panel"] == -1).all()
    assert curvature_rows(rows[trace]).empty  # one of the three is not enough
    assert client_curvature(rows[trace], measured.facts).empty


def test_densities_are_those_of_the_last_round_and_of_at_most_twenty_layers() -> None:
    rows: list[Row] = list(layer_rows(Measured(clients=1, layers=24)))
    found = hessian_densities(frame(rows, "spectra"))
    assert set(found["round"]) == {10} and found["layer"].nunique() == 24
    assert len(names_in(found, "panel")) == 20 and (found["panel"] == -1).sum() == 4
    assert list(names_in(found, "panel").values())[-1] == Measured(layers=24).fake.layer_names[-1]
    assert hessian_densities(frame(rows, "spectra").assign(status="missing")).empty


def test_few_of_many_are_spread_evenly() -> None:
    assert evenly(list(range(5)), 5) == [0, 1, 2, 3, 4]
    chosen = evenly(list(range(62)), 20)
    assert (len(set(chosen)), chosen[0], chosen[-1]) == (20, 0, 61)
    assert set(np.diff(chosen)) <= {3, 4}
