from pathlib import Path

import numpy as np
import pytest
from matplotlib.lines import Line2D

from fedlayers.figures.available import figures_of
from fedlayers.figures.studies.critical_difference import critical_difference
from fedlayers.statistics.comparison.friedman import friedman
from fedlayers.statistics.comparison.ranks import mean_ranks
from fedlayers.views.comparison.ranking import Ranking, alike
from tests.support.published_scores import DEMSAR, PLAYER_FL
from tests.support.scored_runs import write_scored


def ranking(values: np.ndarray, names: list[str]) -> Ranking:
    ranks = mean_ranks(values, True)
    order = np.argsort(ranks)
    return Ranking(
        *("accuracy", "settings", tuple(names[place] for place in order), ranks[order], friedman(values)),
        settings=len(values),
        left_out=((), 0),
    )


def test_bars_join_those_that_are_not_critically_far_apart() -> None:
    names = list(PLAYER_FL)
    one = ranking(np.array([values for values, _ in PLAYER_FL.values()]).T, names)
    figure = critical_difference(one)
    bars = [line for line in figure.axes[0].lines if line.get_linewidth() == 3]
    ends = [tuple(np.asarray(bar.get_xdata(), float)[[0, -1]]) for bar in bars]
    assert ends == [pytest.approx((one.ranks[first] - 0.03, one.ranks[last] + 0.03)) for first, last in alike(one)]
    for first, last in alike(one):
        assert one.ranks[last] - one.ranks[first] <= one.critical_difference
        assert last == len(names) - 1 or one.ranks[last + 1] - one.ranks[first] > one.critical_difference
    assert all(any(name in text.get_text() for text in figure.axes[0].texts) for name in names)


def test_the_length_of_the_critical_difference_is_drawn_to_scale() -> None:
    one = ranking(DEMSAR, ["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"])
    (container,) = critical_difference(one).axes[0].containers
    (bar,) = container[2]
    (segment,) = bar.get_segments()
    assert segment[1][0] - segment[0][0] == pytest.approx(1.25, abs=0.005)


def test_it_is_a_figure_of_a_study_of_several_seeds(tmp_path: Path) -> None:
    for seed in range(3):
        for algorithm in ("local", "fedavg"):
            write_scored(tmp_path, algorithm, seed, [0.5 + 0.1 * seed, 0.6])
    found = {figure.name: figure for figure in figures_of(tmp_path)}
    drawn = found["critical_difference_accuracy"].make()
    assert drawn is not None and "critical_difference_loss" in found
    assert "CD = 1.13, more than ranks can be apart" in {text.get_text() for text in drawn.axes[0].texts}
    assert any(isinstance(line, Line2D) for line in drawn.axes[0].lines)


def test_one_seed_has_no_ranks_to_draw(tmp_path: Path) -> None:
    for algorithm in ("local", "fedavg"):
        write_scored(tmp_path, algorithm, 0, [0.5, 0.6])
    assert not any(figure.family == "critical_difference" for figure in figures_of(tmp_path))
