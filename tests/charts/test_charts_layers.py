"""What charts of layers show is what the tables say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from fedlayers.charts.clients.compared import measured_between_clients
from fedlayers.charts.layers.deviations import layer_deviations
from fedlayers.charts.layers.heat_map import layer_heat_map
from fedlayers.charts.layers.measured import measured_of_layers
from fedlayers.charts.layers.plan import federation_plan, layer_transition
from fedlayers.charts.layers.profile import layer_profile
from fedlayers.charts.layers.readouts import layer_readouts
from fedlayers.charts.layers.series import CHANGE
from fedlayers.charts.layers.spectra import layer_spectra
from fedlayers.config.compose import compose_config
from fedlayers.core.errors import UserError
from fedlayers.core.records import Record, missing
from fedlayers.runs.lock import lock
from fedlayers.runs.reading.tables import Tables, read
from tests.support.chart_runs import frame_of, run_with
from tests.support.figure_tables import CHANCE, Measured, write_measured_run

MEASURED = Measured(clients=5, layers=5, norms=True)
AFTER = "after local training"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return read(write_measured_run(tmp_path_factory.mktemp("results") / "main", MEASURED))


def of(client: int, layer: int, value: float, **more: Any) -> Record:
    address: dict[str, Any] = {
        "run": "r", "round": 1, "moment": "after_local", "owner": "client", "model": "personal",
        "layer": ["conv1", "conv2", "head"][layer], "layer_index": layer, "client": client,
    }  # fmt: skip
    return Record("norm", value, **{**address, **more})


def values(rows: pd.DataFrame) -> dict[tuple[Any, Any], float]:
    """Return client and layer -> value; the client is -1 for the server."""
    client = rows["client"].astype(float).fillna(-1)
    return dict(zip(zip(client, rows["layer"].astype(str), strict=True), rows["value"], strict=True))


def test_a_heat_map_has_the_values_of_clients_and_server_in_the_last_round_by_then(tables: Tables) -> None:
    for metric, asked, shown in (("norm", None, 2), ("norm", 1, 1), ("hessian_trace", 7, 1), ("b_dissimilarity", 9, 2)):
        found = layer_heat_map(tables, metric, asked)
        rows = tables.records[(tables.records["metric"] == metric) & (tables.records["round"] == shown)]
        rows = rows[rows["moment"] == "after_local"]
        assert (found.facts["round"], found.facts["series"]) == (shown, AFTER)
        assert values(frame_of(found)) == values(rows) != {}
    assert found.facts["label"] == "B dissimilarity"
    assert set(frame_of(found)["client_name"]) == {"server"}


def test_before_and_after_aggregation_are_series_and_their_difference_is_about_zero(tables: Tables) -> None:
    rows = tables.records[(tables.records["metric"] == "norm") & (tables.records["round"] == 2)]
    before, after = (values(rows[rows["moment"] == moment]) for moment in ("after_local", "after_aggregate"))
    found = layer_heat_map(tables, "norm", series=CHANGE)
    assert found.facts["names"] == [AFTER, "after aggregation", CHANGE]
    changes = values(frame_of(found))
    assert changes == pytest.approx({key: after[key] - before[key] for key in before})
    largest = max(map(abs, changes.values()))
    assert found.facts["scale"]["limits"] == pytest.approx([-largest, largest])
    assert found.facts["scale"]["colours"] == "diverging" and found.facts["label"] == "change of norm"
    assert layer_heat_map(tables, "norm", series="no such").facts["series"] == AFTER


def test_what_is_missing_has_its_reason_and_no_number(tables: Tables) -> None:
    rows = frame_of(layer_heat_map(tables, "update_cosine"))
    absent = rows[rows["value"].isna()]
    assert absent[["client", "layer", "reason"]].to_numpy().tolist() == [[0, "stage1.0.conv1", "the update is zero"]]
    assert len(rows) == 25


def test_a_metric_of_pairs_has_means_over_the_other_clients(tables: Tables) -> None:
    pairs = tables.pairs
    pairs = pairs[(pairs["metric"] == "cka") & (pairs["subject"] == "clients") & (pairs["round"] == 10)]
    found = layer_heat_map(tables, "cka")
    assert found.facts["series"] == f"mean over the other clients, {AFTER}"
    for (client, layer), value in values(frame_of(found)).items():
        own = pairs[((pairs["client"] == client) | (pairs["other"] == client)) & (pairs["layer"] == layer)]
        assert len(own) == 4 and value == pytest.approx(own["value"].mean())
    received = layer_heat_map(tables, "cka", series=f"client and the global model it received, {AFTER}")
    table = tables.pairs[(tables.pairs["metric"] == "cka") & (tables.pairs["subject"] == "received")]
    assert values(frame_of(received)) == values(table[table["round"] == 10])


def test_a_colour_means_the_same_in_every_round(tables: Tables) -> None:
    trace = tables.records.loc[tables.records["metric"] == "hessian_trace", "value"]
    scales = [layer_heat_map(tables, "hessian_trace", number).facts["scale"] for number in (1, 10)]
    assert scales[0] == scales[1] and scales[0]["limits"] == [trace.min(), trace.max()]
    # Over decades, and once below zero: as on the axis of its profile.
    assert scales[0]["threshold"] == layer_profile(tables, "hessian_trace").facts["scale"]["threshold"] > 0
    similar = layer_heat_map(tables, "cka").facts["scale"]
    assert similar["limits"][1] == 1.0 and not similar["is_reversed"]
    assert layer_heat_map(tables, "procrustes_distance").facts["scale"]["is_reversed"]


def test_a_profile_is_the_mean_over_clients_with_its_band(tables: Tables) -> None:
    found = layer_profile(tables, "gradient_variance_parameters", 1)
    rows = tables.records[(tables.records["metric"] == "gradient_variance_parameters") & (tables.records["round"] == 1)]
    by_layer = rows.groupby("layer", observed=True)["value"]
    line = frame_of(found).set_index("layer")
    for name, expected in (("mean", by_layer.mean()), ("low", by_layer.min()), ("high", by_layer.max())):
        assert line[name].to_dict() == pytest.approx(expected.to_dict())
    assert set(line["line"]) == {f"mean over clients, {AFTER}"} and set(line["kind"]) == {"after_local"}
    assert found.facts["band"] == "bands: lowest to highest of clients"
    assert found.facts["scale"]["kind"] == "log" and found.facts["label"] == "gradient variance parameters (nat²)"


def test_a_profile_shows_what_chance_gives_and_passes_over_norm_layers_without_values(tables: Tables) -> None:
    frame = frame_of(layer_profile(tables, "procrustes_distance"))
    chance = frame[frame["kind"] == "chance"]
    mean, end = CHANCE["procrustes_distance"]
    assert set(chance["mean"]) == {mean} and set(chance["low"]) == {end} and set(chance["high"]) == {mean}
    assert set(chance["line"]) == {"chance: mean to 5 % quantile"}
    own = frame[frame["kind"] == "rounds"]
    assert set(own["line"]) == {"client and itself in the first round"} and set(own["count"]) == {5}
    names = MEASURED.fake.layer_names
    assert layer_profile(tables, "sensitivity_cumulative").facts["layers"] == [*names[:1], *names[2:]]


def test_variants_have_panels_and_single_values_their_standard_errors(tables: Tables) -> None:
    found = layer_profile(tables, "share_small")
    assert found.facts["panels"] == ["0.01", "0.1"] == frame_of(found)["panel"].unique().tolist()
    server = frame_of(layer_profile(tables, "b_dissimilarity"))
    assert set(server.loc[server["who"] == "server", "stderr"]) == {0.2}
    assert layer_profile(tables, "update_cosine").facts["missing"] == {"": "2 of 50 missing"}


def test_deviations_are_modified_z_scores_over_clients(tables: Tables) -> None:
    found = layer_deviations(tables, 10)
    frame = frame_of(found)
    assert set(frame["metric"]) == {
        "cka", "cka_distance", "gradient_variance_parameters", "hessian_eigenvalue", "hessian_trace", "probe_accuracy",
        "procrustes_distance", "sensitivity_cumulative",
    }  # fmt: skip
    rows = tables.records[(tables.records["metric"] == "hessian_trace") & (tables.records["round"] == 10)]
    own = rows[rows["layer"] == "head"].set_index("client")["value"].astype(float)
    away = own - own.median()
    expected = 0.6745 * away / away.abs().median()
    here = frame[(frame["metric"] == "hessian_trace") & (frame["layer"] == "head")].set_index("client")
    assert here["score"].to_dict() == pytest.approx(expected.to_dict())
    # All clients have one accuracy: none is odd, and none is said to be as usual either.
    assert frame.loc[frame["metric"] == "probe_accuracy", "score"].isna().all()
    assert found.facts["scale"]["limits"][1] <= 7.0 and found.facts["odd"] == 3.5


def test_a_layer_has_the_densities_of_its_clients(tables: Tables) -> None:
    found = layer_spectra(tables, "head", 4)
    frame = frame_of(found)
    rows = tables.spectra[(tables.spectra["metric"] == "hessian_density") & (tables.spectra["round"] == 1)]
    for row in rows[rows["layer"] == "head"].itertuples():
        own = frame[frame["client"] == row.client]
        np.testing.assert_array_equal(own["x"], row.x)
        np.testing.assert_array_equal(
            own["y"], np.where(np.asarray(row.y, float) > 0, np.asarray(row.y, float), np.nan)
        )
    assert found.facts["rounds"] == [1, 10] and found.facts["threshold"] == 0.1
    with pytest.raises(
        UserError, match=r"layer must be one of those with densities of eigenvalues, stem.conv, .* got x"
    ):
        layer_spectra(tables, "x")


def test_what_there_is_to_choose_from_is_what_has_values(tables: Tables) -> None:
    found = measured_of_layers(tables)
    frame = frame_of(found).set_index("metric")
    records = tables.records[tables.records["layer"].notna()]
    assert {*frame.index[frame["table"] == "records"]} == {*records["metric"].unique()}
    assert frame.index[frame["table"] == "pairs"].tolist() == ["cka", "cka_distance", "procrustes_distance"]
    assert found.facts["rounds"]["norm"] == [1, 2] and found.facts["rounds"]["cka"] == [1, 10]
    assert found.facts["spectra"] == MEASURED.fake.layer_names
    assert (found.facts["plan"], found.facts["transition"], found.facts["readouts"]) == (False, False, True)
    with pytest.raises(UserError, match="metric must be one that layers have values of, got 'accuracy'"):
        layer_profile(tables, "accuracy")


def test_read_outs_stand_by_depth_with_chance_and_the_answers_in_words(tables: Tables) -> None:
    found = layer_readouts(tables)
    frame = frame_of(found)
    rows = tables.records[(tables.records["metric"] == "probe_accuracy") & (tables.records["round"] == 10)]
    by_layer = rows.groupby("layer", observed=True)["value"].mean()
    assert frame.set_index("layer")["mean"].to_dict() == pytest.approx(by_layer.to_dict())
    assert set(frame["chance"]) == {0.1} and set(frame["chance_hi"]) == {0.15}
    assert [told["heading"] for told in found.facts["paragraphs"]] == ["Are later layers more predictive?"]


def test_numbers_that_are_none_and_one_client_and_layer_stay_what_they_are(tmp_path: Path) -> None:
    alone = run_with(tmp_path / "alone", [of(0, 0, 2.0)])
    assert frame_of(layer_heat_map(alone, "norm"))["value"].tolist() == [2.0]
    assert frame_of(layer_profile(alone, "norm"))[["mean", "low", "high"]].to_numpy().tolist() == [[2.0, 2.0, 2.0]]
    assert frame_of(layer_deviations(alone))["score"].isna().all()
    odd = [of(0, 0, 1.0), of(1, 0, np.inf), of(2, 0, np.nan), of(0, 1, 1.0)]
    told = run_with(tmp_path / "odd", [*odd, replace(missing("norm", "<b>no</b>"), **_address(of(1, 1, 0.0)))])
    rows = frame_of(layer_heat_map(told, "norm"))
    reasons = dict(
        zip(zip(rows["client"], rows["layer"], strict=True), rows["reason"].astype(object).fillna(""), strict=True)
    )
    assert reasons == {
        (0, "conv1"): "", (1, "conv1"): "the value is inf", (2, "conv1"): "the value is nan", (0, "conv2"): "",
        (1, "conv2"): "<b>no</b>",
    }  # fmt: skip
    assert rows["value"].isna().sum() == 3
    scale = layer_heat_map(told, "norm").facts["scale"]["limits"]
    assert scale[0] < 1.0 < scale[1]  # all alike: in the middle of a scale that is no finer than rounding


def _address(row: Record) -> dict[str, Any]:
    return {
        name: getattr(row, name)
        for name in ("run", "round", "moment", "owner", "model", "layer", "layer_index", "client")
    }


def test_a_plan_says_which_layers_are_shared_when_by_whom_and_why(tmp_path: Path) -> None:
    def shared(server_round: int, layer: int, value: float, client: int | None = None) -> Record:
        more: dict[str, Any] = {
            "round": server_round,
            "client": client,
            "owner": "server",
            "model": None,
            "metric": "layer_shared",
        }
        return replace(of(0, layer, value), **more)

    both = [shared(1, layer, 1.0) for layer in (0, 1, 2)]
    own = [shared(2, layer, float(layer <= client), client) for client in (0, 2) for layer in (0, 1, 2)]
    why = replace(of(0, 0, 1.0), metric="plan_prefix", client=0, reason="it has risen")
    tables = run_with(tmp_path / "main", [*both, *own, why])
    everybody = federation_plan(tables)
    assert everybody.facts["of"] == "all clients" and everybody.facts["own"] == [0, 2]
    assert frame_of(everybody)["shared"].tolist() == [1.0, 1.0, 1.0, 0.5, 1.0, 0.5]
    assert everybody.facts["sentences"] == ["client 0 shares 1 layer, up to conv1 from round 2 on: it has risen"]
    first = federation_plan(tables, 0)
    assert first.facts["of"] == "client 0" and frame_of(first)["shared"].tolist() == [1.0, 1.0, 1.0, 0.0, 1.0, 0.0]
    assert federation_plan(tables, 1).facts["of"] == "all clients"
    assert measured_of_layers(tables).facts["plan"]


def test_a_transition_has_the_rises_of_clients_and_of_all_together(tmp_path: Path) -> None:
    def told(metric: str, value: float, client: int | None, layer: int = 0) -> Record:
        more: dict[str, Any] = {
            "metric": metric,
            "client": client,
            "variant": "sensitivity",
            "owner": "server",
            "model": None,
        }
        return replace(of(0, layer, value), **more)

    rises = [told("layer_rise", 0.4 * layer + 0.1 * client, client, layer) for client in (0, 1) for layer in (0, 1, 2)]
    common = [told("layer_rise", 0.4 * layer, None, layer) for layer in (0, 1, 2)]
    ends = [told("layer_rise_low", 0.3, None, 1), told("layer_rise_high", 0.5, None, 1)]
    where = [told(f"transition{end}", 2.0, None, 1) for end in ("", "_low", "_high")]
    sure = [told("transition_confidence", 0.9, None, 1)]
    found = layer_transition(run_with(tmp_path / "main", [*rises, *common, *ends, *where, *sure]))
    frame = frame_of(found)
    assert frame.loc[frame["client"] == 1, "value"].tolist() == pytest.approx([0.1, 0.5, 0.9])
    middle = frame[frame["client"].isna() & (frame["layer"] == "conv2")].iloc[0]
    assert (middle["value"], middle["low"], middle["high"], middle["place"]) == (0.4, 0.3, 0.5, 1)
    (measure,) = found.facts["measures"]
    assert measure["last"] == "conv2" and measure["shared"] == 2.0 and measure["sentence"].startswith("sensitivity: ")
    assert found.facts["round"] == 1 and found.facts["threshold"] == 1.0


def test_nothing_measured_of_layers_is_told(tmp_path: Path) -> None:
    empty = run_with(tmp_path / "main", [Record("accuracy", 0.5, run="r", round=1, moment="final", owner="server")])
    assert len(measured_of_layers(empty)) == 0 == len(federation_plan(empty)) == len(layer_transition(empty))
    assert len(layer_readouts(empty)) == 0
    with pytest.raises(UserError, match="has no values of layers of single clients: take metrics that measure some"):
        layer_deviations(empty)


def test_a_table_that_cannot_be_read_is_told_and_the_others_are_shown(tmp_path: Path) -> None:
    run = write_measured_run(tmp_path / "main", MEASURED)
    whole = frame_of(measured_of_layers(read(run)))
    parts = {name: max((run / name).glob("*.parquet")) for name in ("pairs", "spectra")}
    content = {name: part.read_bytes() for name, part in parts.items()}
    parts["spectra"].write_bytes(content["spectra"][:100])
    found = measured_of_layers(read(run))
    assert frame_of(found).equals(whole) and found.facts["spectra"] == []
    (sentence,) = found.facts["damaged"]
    assert str(parts["spectra"]) in sentence
    parts["pairs"].write_bytes(content["pairs"][:100])
    found, between = measured_of_layers(read(run)), measured_between_clients(read(run))
    assert {*frame_of(found)["table"]} == {"records"} and len(found.facts["damaged"]) == 2 and len(between) == 0
    assert between.facts["damaged"] == found.facts["damaged"][:1] and between.facts["clients"]
    assert len(layer_heat_map(read(run), "norm")) and len(layer_profile(read(run), "norm"))
    for name, part in parts.items():
        part.write_bytes(content[name])
    assert frame_of(measured_of_layers(read(run))).equals(whole)


def test_of_a_run_that_goes_on_is_told_what_will_be_measured(tmp_path: Path) -> None:
    def told(rounds: str, moments: str = "after_local", done: int | None = 2) -> str | None:
        rows = [Record("accuracy", 0.5, run="r", round=2, moment="final", owner="server")]
        tables = run_with(tmp_path / f"{rounds} {moments} {done}", rows, {"status": "running", "round": done})
        (tables.path / "done.json").unlink(missing_ok=True)
        # Of one's own it is announced as of any other: what it will measure nobody knows before.
        own = [f"+metrics.mine.rounds=[{rounds}]", f"+metrics.mine.moments=[{moments}]"]
        chosen = ["rounds=9", "metrics=[evaluation]", "+metrics.mine._target_=my.Metric", *own]
        OmegaConf.save(compose_config(chosen), tables.path / "config.yaml")
        with lock(tables.path):
            found = measured_of_layers(tables).facts["not_yet"]
            assert measured_between_clients(tables).facts["not_yet"] == found
        assert measured_of_layers(tables).facts["not_yet"] is None, "it was interrupted"
        return found  # type: ignore[no-any-return]

    assert told("every 5") == "mine in round 5"
    assert told("20", "after_local,final") == "mine at the end"
    assert told("1", "after_local,final") is None, "it has had its chance"
    assert told("all", "start", None) == "evaluation before the first round, mine before the first round"
