"""What a run says about the layers it shares: sentences, and the rises behind them."""

import pytest

from fedlayers.views.plans.transitions import METRICS, plan_sentences, rises, round_of_choice, transitions
from tests.support.transition_tables import WHY, plan_rows, transition_frame, transition_rows


def test_each_measure_says_what_it_found_and_who_agrees() -> None:
    curvature, sensitivity = transitions(transition_frame(transition_rows()))
    assert (sensitivity.last, sensitivity.shared, sensitivity.low, sensitivity.high) == ("conv2", 2, 2, 3)
    assert sensitivity.sentence == (
        "sensitivity: transition after conv2, 2 layers before it (interval 2 to 3, the same in 75% of resamples); "
        "2 of 3 clients say the same by themselves"
    )
    assert curvature.last is None
    assert curvature.sentence == f"curvature: no transition, {WHY}; 2 of 3 clients say the same by themselves"


def test_rises_stand_by_measure_client_and_layer_with_their_interval() -> None:
    found = rises(transition_frame(transition_rows()))
    assert len(found) == 2 * 4 * 4 and list(found["layer"][:4]) == ["conv1", "conv2", "fc1", "fc2"]
    common = found[(found["measure"] == "sensitivity") & found["client"].isna()]
    assert common["value"].tolist() == [0, 0.4, 6, 9]
    assert (common["high"] - common["low"]).tolist() == pytest.approx([0.4] * 4)


def test_the_last_choice_is_shown_else_the_last_measurement() -> None:
    both = [*transition_rows(1), *transition_rows(5, found=False)]
    assert round_of_choice(transition_frame(both)) == 5
    chosen = transition_frame(both, plan_rows([(None, "so")]))
    assert round_of_choice(chosen) == 1 and transitions(chosen)[1].last == "conv2"
    nothing = transition_frame([])
    assert round_of_choice(nothing) is None and transitions(nothing) == [] and plan_sentences(nothing) == []
    assert set(transition_frame(both, plan_rows([(None, "so")]))["metric"]) == set(METRICS)


def test_clients_with_the_same_plan_are_told_together() -> None:
    alike = plan_sentences(transition_frame(plan_rows([(None, "fallback all: none found")])))
    assert alike == ["all clients share 2 layers, up to conv2 from round 2 on: fallback all: none found"]
    apart = plan_sentences(transition_frame(plan_rows([(0, "a"), (1, "b"), (2, "a"), (4, "a")])))
    assert apart == [
        "clients 0, 2 and 4 share 2 layers, up to conv2 from round 2 on: a",
        "client 1 shares 2 layers, up to conv2 from round 2 on: b",
    ]
