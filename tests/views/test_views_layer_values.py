from pathlib import Path

import pytest

import fedlayers
from fedlayers.core.records import Record
from fedlayers.figures.available import figures_of
from fedlayers.views.chain.groups import ChainStudy
from fedlayers.views.chain.heat_map import by_round, by_run
from fedlayers.views.chain.layer_values import (
    last_layer_values,
    layer_times,
    layer_values,
    measured_metrics,
    timed_metrics,
)
from fedlayers.views.chain.train_validation import compared_metrics, train_validation
from fedlayers.views.run_groups import setting_of, settings_of
from tests.support.chain_tables import Chain, write_chain


def study_of(folder: Path) -> ChainStudy:
    tables = fedlayers.read(folder)
    settings = settings_of(tables.runs) if tables.several else [setting_of(folder)]
    return ChainStudy.of(tables.records, settings)


def test_one_owner_moment_and_variant_of_each_metric(tmp_path: Path) -> None:
    study = study_of(write_chain(tmp_path, Chain()))
    rows = layer_values(study)
    assert set(rows["what"]) == {"server, after aggregation"} and rows["client"].isna().all()
    assert set(rows[rows["metric"] == "probe_accuracy"]["variant"]) == {"halves"}
    assert not rows.duplicated(["metric", "round", "layer"]).any()
    assert set(last_layer_values(study)["round"]) == {2}
    table = by_round(rows[rows["metric"] == "cka_previous"])
    assert (table.rows, table.layers) == (("round 1", "round 2"), ("fc2", "fc3", "fc4"))


def test_clients_stand_where_the_server_has_nothing(tmp_path: Path) -> None:
    with fedlayers.Writer(tmp_path / "run", layers=["fc1"]) as writer:
        for client in range(2):
            for moment in ("after_local", "after_aggregate"):
                writer.add(Record("norm", 1.0 + client, layer="fc1", client=client, moment=moment))
    rows = layer_values(study_of(tmp_path / "run"))
    assert set(rows["what"]) == {"clients, after local training"} and sorted(rows["value"]) == [1.0, 2.0]


def test_steps_are_parts_of_their_round(tmp_path: Path) -> None:
    with fedlayers.Writer(tmp_path / "run", layers=["fc1"]) as writer:
        for number in (1, 4):
            for step in (5, 10):
                writer.add(Record("norm", 1.0, layer="fc1", client=0, step=step))
            writer.add(Record("drift", 1.0, layer="fc1", client=0))
            writer.end_round(number)
    study = study_of(tmp_path / "run")
    rows = layer_times(study)
    assert rows[rows["metric"] == "norm"]["time"].tolist() == [0.5, 1.0, 3.5, 4.0]
    assert rows[rows["metric"] == "drift"]["time"].tolist() == [1.0, 4.0]
    told = rows.drop_duplicates("metric").set_index("metric")["what"].to_dict()
    assert told == {"norm": "clients, inside local training", "drift": "clients, after local training"}
    assert timed_metrics(study.records) == ["drift", "norm"]
    # What was measured inside local training alone has no values at moments, and the figures of these leave it out.
    assert measured_metrics(study.records) == ["drift"] == sorted(layer_values(study)["metric"].unique())
    chained = [figure for figure in figures_of(tmp_path / "run") if figure.family in ("heatmap", "timeline")]
    assert [figure.name for figure in chained] == ["heatmap_drift", "timeline_drift", "timeline_norm"]
    assert all(figure.make() is not None for figure in chained)


def test_runs_stand_by_group_and_seed_and_layers_by_depth(tmp_path: Path) -> None:
    names = tuple(f"fc{number}" for number in range(1, 12))
    for seed in (0, 1):
        write_chain(tmp_path, Chain("mlp", seed=seed, clients=1, layers=names, slope=0.01))
        write_chain(tmp_path, Chain("greedy_mlp", seed=seed, clients=1, layers=("fc1", "fc2"), slope=0.01))
    rows = last_layer_values(study_of(tmp_path))
    table = by_run(rows[rows["metric"] == "probe_accuracy"])
    assert table.rows == (
        "greedy_mlp, fedavg, seed 0", "greedy_mlp, fedavg, seed 1", "mlp, fedavg, seed 0", "mlp, fedavg, seed 1",
    )  # fmt: skip
    assert table.layers == names
    assert table.values[2] == pytest.approx([0.4 + 0.01 * place for place in range(11)], abs=0.05)


def test_training_is_compared_with_validation(tmp_path: Path) -> None:
    study = study_of(write_chain(tmp_path, Chain()))
    assert compared_metrics(study.records) == ["accuracy", "loss"]
    rows = train_validation(study, "accuracy")
    means = rows[rows["round"] == 2].groupby("examples")["value"].mean().to_dict()
    assert means == pytest.approx({"training examples": 0.8, "validation examples": 0.71})
    # The loss of training examples is what training said of its batches.
    losses = train_validation(study, "loss")
    assert set(losses[losses["examples"] == "training examples"]["value"]) == {1.0, 0.5}
    assert compared_metrics(study.records[study.records["scope"] != "client_train"]) == []
