"""Figures of what training took: means over clients, and one shape for runs and trackers' folders."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from fedlayers.core.records import Resource, addressed, to_table
from fedlayers.figures.training.resources import resource_figures
from fedlayers.runs.reading.parts import to_pandas
from fedlayers.views.training.resources import training_resources


def resources(clients: int | None) -> pd.DataFrame:
    rows = []
    for number in (1, 2):
        for client in range(clients or 1):
            own = [
                Resource("component_own_s", 2.0 * number + client, "s", subject="train"),
                Resource("component_own_s", 1.0, "s", subject="train/dynamics"),
                Resource("component_own_s", 0.5, "s", subject="other"),
                Resource("throughput", 100.0 * (client + 1), "examples/s"),
                Resource("host_memory", 5e6 + client, "bytes"),
                Resource("peak_host_memory", 7e6 + client, "bytes"),
            ]
            whose = {"client": client if clients else None, "owner": "client" if clients else "server"}
            rows += addressed(own, **whose, round=number, moment="after_local")
        rows += addressed([Resource("component_own_s", 99.0, "s", subject="measure")], round=number, moment="final")
    return to_pandas(to_table("resources", rows))


@pytest.mark.parametrize("clients", [None, 3])
def test_rounds_are_means_over_clients_and_largest_memory(clients: int | None) -> None:
    first, second = training_resources(resources(clients))
    middle = ((clients or 1) - 1) / 2
    assert (first.epoch, second.epoch) == (1, 2)
    assert {name: part.own_seconds for name, part in second.components.items()} == {
        "train": 4.0 + middle,
        "train/dynamics": 1.0,
        "other": 0.5,
    }
    assert first.throughput == 100.0 * (1 + middle) and first.peak_host == 7e6 + 2 * middle
    assert first.memory.allocated is None


def test_all_four_are_drawn_over_rounds() -> None:
    drawings = resource_figures(resources(3))
    assert [one.name for one in drawings] == ["memory_usage", "component_times", "component_shares", "throughput"]
    for one in drawings:
        figure = one.make()
        assert figure is not None and "epoch" not in figure.axes[0].get_title() + figure.axes[0].get_xlabel()
    stacked = drawings[1].make()
    assert stacked is not None
    bars = [bar for bar in stacked.axes[0].patches if isinstance(bar, Rectangle)]
    assert max(bar.get_y() + bar.get_height() for bar in bars) == 6.5
    plt.close("all")


def test_without_resources_there_is_nothing_to_draw() -> None:
    times = addressed([Resource("train_s", 1.0, "s")], round=1, moment="after_local", client=0)
    assert resource_figures(to_pandas(to_table("resources", times))) == []
