"""Figures for a paper: width, letters, title, bands, layers, formats; and a notebook's."""

from pathlib import Path
from typing import Any

import pytest

import fedlayers
from fedlayers.commands.plot import main
from fedlayers.commands.reading import Tables
from fedlayers.core.errors import UserError
from tests.support.drawn_figures import legend_of
from tests.support.fake_run import write_run


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return fedlayers.read(write_run(tmp_path_factory.mktemp("paper")))


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
