"""Figures for a paper: width, letters, title, bands, layers, formats; and a notebook's."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import fedlayers
from fedlayers.commands.plot import main
from fedlayers.core.errors import UserError
from fedlayers.runs.reading.tables import Tables
from fedlayers.statistics.bands import bands_of
from fedlayers.statistics.over_runs import mean_over_runs
from fedlayers.statistics.spread import band_name, spread_along
from tests.support.drawn_figures import legend_of
from tests.support.fake_run import write_run
from tests.support.quantities import KNOWN

VALUES = np.array([0.05, 0.3, 0.1, 0.8])
ROWS = pd.DataFrame({"place": 0, "value": VALUES, "stderr": 0.1, "metric": "accuracy"})


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return fedlayers.read(write_run(tmp_path_factory.mktemp("paper")))


@pytest.mark.parametrize(
    ("kind", "low", "high", "name"),
    [
        (None, 0.05, 0.8, "bands: lowest to highest of clients"),
        ("range", 0.05, 0.8, "bands: lowest to highest of clients"),
        ("sd", 0.0, VALUES.mean() + VALUES.std(ddof=1), "bands: mean ± standard deviation over clients"),
        (
            "ci",
            0.0,
            stats.t.interval(0.95, 3, VALUES.mean(), stats.sem(VALUES))[1],
            "bands: 95 % t interval over clients",
        ),
    ],
)
def test_bands_are_what_was_asked_for(kind: str | None, low: float, high: float, name: str) -> None:
    with bands_of(kind):
        found = spread_along(ROWS, "place", KNOWN[str(ROWS["metric"][0])].limits)
        assert (found.low[0], found.high[0]) == pytest.approx((low, high))
        assert band_name(4) == name
    assert band_name(4) == "bands: lowest to highest of clients"


def test_bands_over_runs_too() -> None:
    rows = pd.DataFrame({"run": list("abc"), "round": 1, "value": [0.2, 0.3, 0.7]})
    with bands_of("sd"):
        found = mean_over_runs(rows, "round", KNOWN["accuracy"].limits)
    deviation = np.std([0.2, 0.3, 0.7], ddof=1)
    assert (found.low[0], found.high[0]) == pytest.approx((0.4 - deviation, 0.4 + deviation))
    with bands_of("range"):
        assert mean_over_runs(rows, "round", KNOWN["accuracy"].limits).high[0] == 0.7
        assert np.isnan(mean_over_runs(rows[:1], "round", KNOWN["accuracy"].limits).high[0])


def test_a_figure_has_the_width_asked_for_and_nothing_is_cut_off(tables: Tables) -> None:
    usual = tables.plot("learning_curves")
    narrow = tables.plot("learning_curves", width=3.3, font_size=7, title=False, band="ci")
    assert narrow.get_figwidth() == 3.3 and usual.get_figwidth() > 6
    assert usual.get_suptitle() and not narrow.get_suptitle()
    assert narrow.axes[0].yaxis.label.get_fontsize() == 7 and usual.axes[0].yaxis.label.get_fontsize() == 9
    assert "bands and bars: 95 % t interval over clients" in legend_of(narrow)
    narrow.draw_without_rendering()
    (legend,) = narrow.legends
    box = legend.get_window_extent()
    assert box.x0 >= -1 and box.x1 <= narrow.bbox.x1 + 1
    assert all(axes.get_window_extent().height > 0.4 * narrow.dpi for axes in narrow.axes)


def test_a_notebook_shows_it(tables: Tables) -> None:
    figure: Any = tables.plot("layer_profile", metric="norm")
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_only_the_layers_asked_for(tables: Tables) -> None:
    known = list(dict.fromkeys(tables.records["layer"].dropna().astype(str)))
    figure = tables.plot("layer_profile", metric="norm", layers=known[1:3])
    shown = {label.get_text() for label in figure.axes[-1].get_xticklabels()}
    assert shown == set(known[1:3])
    with pytest.raises(UserError, match=r"layers must be some of .*, got nothing"):
        tables.plot("layer_profile", metric="norm", layers=["nothing"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widht": 3}, r"plot has no setting widht; it has metric, round, layers, width, font_size, title, band"),
        ({"width": 0}, r"width must be from 1 to 40 inches, got 0"),
        ({"width": float("nan")}, r"width must be from 1 to 40 inches, got nan"),
        ({"font_size": 900}, r"font_size must be from 3 to 40 points, got 900"),
        ({"band": "iqr"}, r"band must be one of sd, ci, range, got 'iqr'"),
    ],
)
def test_mistakes_are_told(tables: Tables, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tables.plot("learning_curves", **settings)


def test_a_kind_of_which_there_are_several_needs_a_metric(tables: Tables) -> None:
    with pytest.raises(UserError, match=r"there are several figures layer_profile: name one of .*, or give metric="):
        tables.plot("layer_profile")
    with pytest.raises(UserError, match="has no figure nonsense"):
        tables.plot("nonsense")


def test_the_command_line_does_the_same(tables: Tables, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--width", "3.3", "--font-size", "7", "--no-title", "--band", "sd", "--formats", "svg", "--out"]
    assert main([str(tables.path), "learning_curves", *options, str(tmp_path)]) == 0
    svg = (tmp_path / "learning_curves.svg").read_text()
    assert 'width="237.6pt"' in svg and "Traceback" not in capsys.readouterr().err
    first = (tmp_path / "learning_curves.svg").read_bytes()
    assert main([str(tables.path), "learning_curves", *options, str(tmp_path)]) == 0
    assert (tmp_path / "learning_curves.svg").read_bytes() == first
    assert main([str(tables.path), "learning_curves", "--band", "x"]) == 1
    assert "band must be one of sd, ci, range, got 'x'" in capsys.readouterr().err
