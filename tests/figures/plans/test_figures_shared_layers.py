"""The figure of the federation plan."""

from typing import Any

import pandas as pd

from fedlayers.figures.plans.shared_layers import federation_plan
from fedlayers.views.plans.shared_layers import shared_layers
from tests.support.drawn_figures import overlapping

NAMES = ("conv1", "fc1", "fc2")


def facts(shared: tuple[bool, ...] = (True, True, True), rounds: int = 3) -> dict[str, Any]:
    layers = [{"name": name, "shared": own} for name, own in zip(NAMES, shared, strict=True)]
    return {"dataset": "D", "clients": 3, "rounds": rounds, "layers": layers}


def rows(values: dict[tuple[int, int | None], tuple[float, float, float]]) -> pd.DataFrame:
    """Return the records of (round, client) -> the values of the layers."""
    found = [
        {"metric": "layer_shared", "round": r, "client": client, "layer": name, "value": value}
        for (r, client), own in values.items()
        for name, value in zip(NAMES, own, strict=True)
    ]
    columns = ["metric", "round", "client", "layer", "value"]
    return pd.DataFrame(found, columns=columns).astype({"client": "Int32", "layer": "category"})


def test_a_plan_that_stays_is_a_panel_and_one_of_all_layers_none() -> None:
    assert shared_layers(rows({}), facts()) == {} == shared_layers(rows({(1, None): (1, 1, 1)}), facts())
    (table,) = shared_layers(rows({}), facts((True, True, False))).values()
    assert table.to_numpy().tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]
    assert len([axes for axes in federation_plan(rows({}), facts((True, True, False))).axes if axes.get_title()]) == 1


def test_where_clients_differ_each_has_a_panel() -> None:
    records = rows({(1, None): (1, 1, 1), (2, 0): (1, 0, 0), (2, 2): (1, 1, 0), (3, 2): (0, 0, 1)})
    tables = shared_layers(records, facts())
    assert list(tables) == ["all clients", "client 0", "client 2"]
    assert tables["all clients"].to_numpy().tolist() == [[1, 1, 0], [1, 0.5, 0], [1, 0, 1]]
    assert tables["client 0"].to_numpy()[1, :2].tolist() == [1, 0] and tables["client 0"][3].isna().all()
    figure = federation_plan(records, facts())
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == list(tables)
    assert "grey: took no part" in (figure.get_suptitle() or "") and not overlapping(figure)
