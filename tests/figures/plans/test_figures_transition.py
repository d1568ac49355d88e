"""The figure of which layers are shared and why."""

import numpy as np

from fedlayers.figures.plans.transition import layer_transition
from tests.support.transition_tables import plan_rows, transition_frame, transition_rows

FACTS = {"dataset": "D", "clients": 3}


def test_a_panel_for_each_measure_says_where_the_transition_is() -> None:
    figure = layer_transition(transition_frame(transition_rows()), FACTS)
    curvature, sensitivity = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["curvature: no transition", "sensitivity: after conv2"]
    assert [text.get_text() for text in sensitivity.get_xticklabels()] == ["conv1", "conv2", "fc1", "fc2"]
    lines = {line.get_label(): line for line in sensitivity.lines}
    assert np.array_equal(lines["median over clients"].get_ydata(), [0, 0.4, 6, 9])
    assert np.array_equal(lines["threshold"].get_ydata(), [1, 1])
    # Two layers before it, and the interval goes to three.
    (shaded,) = [patch for patch in sensitivity.patches if patch.get_label() == "before the transition"]
    assert shaded.get_extents().transformed(sensitivity.transData.inverted()).x1 == 1.5
    assert np.array_equal(lines["interval of the transition"].get_xdata(), [2.5, 2.5])
    assert not curvature.patches
    assert len([line for line in curvature.lines if line.get_color() == "#999999"]) == 3


def test_the_title_says_what_is_shared_and_why() -> None:
    figure = layer_transition(transition_frame(transition_rows(), plan_rows([(0, "because"), (1, "other")])), FACTS)
    title = (figure.get_suptitle() or "").replace("\n", " ")
    assert "client 0 shares 2 layers, up to conv2 from round 2 on" in title
    assert "because" in title and "and 1 other plans" in title
