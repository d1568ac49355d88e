"""Which rows learning curves and scores are made of: tables in, tidy frames out."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedlayers.views.curves import curve_rows, evaluations, last_scores, learning_curves
from fedlayers.views.run_groups import Group


def row(value: float, number: int, moment: str, **more: Any) -> dict[str, Any]:
    return {
        "run": "r", "metric": "accuracy", "layer": None, "subject": None, "scope": "client_test", "model": "global",
        "client": 0, "step": None, "round": number, "moment": moment, "value": value, "status": "ok", **more,
    }  # fmt: skip


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows)).astype({"layer": object, "subject": object, "model": object, "step": "Int32"})


def test_curves_are_whole_models_on_test_or_else_validation() -> None:
    records = table(
        row(0.1, 1, "after_local"),
        row(0.2, 1, "after_local", scope="client_val"),
        row(0.3, 1, "after_local", scope="client_train"),
        row(0.4, 1, "after_aggregate", scope="server_test", client=None),
        row(0.5, 1, "after_local", metric="norm"),
        row(0.6, 1, "after_local", layer="conv"),
        row(0.7, 1, "after_local", subject="cat"),
        row(np.nan, 2, "after_local"),
        row(0.8, 2, "after_local", status="missing"),
        row(0.9, 2, "after_local", step=4),
    )
    assert curve_rows(records)["value"].tolist() == [0.1, 0.4]
    assert curve_rows(records[records["scope"] != "client_test"])["value"].tolist() == [0.2, 0.4]


def test_a_line_per_moment_and_kind_of_model_and_the_server_last() -> None:
    records = table(
        row(0.9, 0, "start", scope="server_test", client=None),
        row(0.1, 0, "start"),
        row(0.2, 1, "after_aggregate"),
        row(0.3, 1, "after_aggregate", model="personal"),
        row(0.4, 1, "after_local", model="personal"),
        row(0.5, 1, "final"),
        row(2.0, 1, "after_local", metric="loss"),
    )
    rows = learning_curves(records)
    assert rows.groupby("line")["value"].agg(list).tolist() == [[0.4], [0.1, 0.2], [0.3], [0.5], [0.9], [2.0]]
    first = rows.drop_duplicates("line")
    assert first["line_name"].tolist() == [
        "clients, after local training", "clients, after aggregation, global models",
        "clients, after aggregation, personal models", "clients, final",
        "server's test set, global model", "clients, after local training",
    ]  # fmt: skip
    assert first["kind"].tolist() == ["personal", "global", "personal", "global", "global", "global"]
    assert first["kinds"].tolist() == [1, 2, 2, 1, 1, 1]
    assert first["panel_name"].tolist() == ["accuracy"] * 5 + ["loss"]
    assert first["who"].tolist() == ["clients"] * 4 + ["server", "clients"]
    assert first["at"].tolist()[:3] == ["after_local", "after_aggregate", "after_aggregate"]


def test_what_is_measured_before_training_alone_is_no_line() -> None:
    rows = learning_curves(table(row(0.1, 0, "start"), row(0.3, 1, "after_aggregate", model="personal")))
    assert rows["value"].tolist() == [0.3] and rows["kinds"].tolist() == [2]
    assert rows["line_name"].tolist() == ["clients, after aggregation, personal models"]
    nothing = learning_curves(table(row(0.1, 1, "after_local", layer="conv")))
    assert nothing.empty and {"line", "line_name", "who", "at", "kind", "kinds"} <= set(nothing)


def test_runs_are_compared_by_kind_of_evaluation_and_group() -> None:
    records = table(
        row(0.1, 0, "start", run="a"),
        row(0.2, 1, "after_local", run="a"),
        row(0.3, 1, "after_aggregate", run="a"),
        row(0.4, 1, "after_aggregate", run="b"),
        row(0.5, 1, "after_aggregate", run="b", model="personal"),
        row(0.6, 1, "after_aggregate", run="b", scope="server_test", client=None),
        row(0.7, 1, "final", run="a"),
    )
    rows = evaluations(records, [Group("fedavg", ("a",)), Group("ditto", ("b",))])
    kinds = rows[rows["evaluation"] >= 0].groupby(["evaluation", "evaluation_name"])["value"].agg(list)
    assert kinds.to_dict() == {
        (0, "clients' test\nafter local training"): [0.2],
        (1, "clients' test\nafter aggregation"): [0.1, 0.3, 0.5],  # b's own models stand for its clients
        (2, "server's test set\nglobal model"): [0.6],
    }
    assert (
        rows.set_index("value")["group_name"].to_dict() | {0.2: "fedavg", 0.5: "ditto"}
        == rows.set_index("value")["group_name"].to_dict()
    )
    validation = evaluations(records.assign(scope="client_val"), [])
    assert "clients' validation\nafter aggregation" in set(validation["evaluation_name"])
    assert (validation["group"] == -1).all()


@pytest.mark.parametrize(
    ("last_of_final", "expected"),
    [
        (2, {"client test accuracy, final": [0.6, 0.8], "server test accuracy, final": [0.9]}),
        (1, {"client test accuracy, round 2": [0.4, 0.5]}),
    ],
)
def test_scores_are_those_of_the_end_or_else_of_the_last_round(last_of_final: int, expected: dict[str, Any]) -> None:
    records = table(
        row(0.1, 1, "after_aggregate"),
        row(0.4, 2, "after_aggregate"),
        row(0.5, 2, "after_aggregate", client=1),
        row(0.3, 2, "after_local"),
        row(0.6, last_of_final, "final"),
        row(0.8, last_of_final, "final", client=1),
        row(0.9, last_of_final, "final", scope="server_test", client=None),
    )
    assert last_scores(records).groupby("score_name")["value"].agg(list).to_dict() == expected


def test_scores_name_the_models_where_clients_have_several() -> None:
    rows = last_scores(table(row(0.1, 1, "final"), row(0.2, 1, "final", model="personal")))
    assert rows["score_name"].tolist() == [
        "client test accuracy, final, global models", "client test accuracy, final, personal models",
    ]  # fmt: skip
