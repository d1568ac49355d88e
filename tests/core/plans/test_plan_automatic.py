"""The automatic plan: what it shares once transitions are known, where none is found, and what it remembers."""

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from torch import nn

from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of
from fedlayers.core.plans.automatic import Automatic
from fedlayers.core.plans.plan import FederationPlan
from fedlayers.core.records import Record, missing

LAYERS = layers_of(
    nn.Sequential(
        nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.Linear(4, 2)
    )
)


def rule_of(**settings: Any) -> Automatic:
    rule = Automatic(**settings)
    rule.begin(LAYERS, 3, seed=0)
    return rule


def row(place: int | None, client: int | None = None, server_round: int = 1, variant: str = "sensitivity") -> Record:
    address = {"round": server_round, "moment": "after_local", "client": client, "variant": variant}
    if place is None:
        return missing("transition", "the profile stays flat", **address)
    return Record("transition", place + 1, layer=LAYERS[place].name, layer_index=place, **address)  # type: ignore[arg-type]


def letters(plan: FederationPlan) -> str:
    return plan.letters(LAYERS)


def test_all_is_shared_until_the_round_and_then_what_comes_before_the_transition() -> None:
    rule = rule_of()
    assert letters(rule.holding(0, 0)) == letters(rule.holding(1, 0)) == "ssssss"
    rule.observe([row(2), row(0, client=1)])
    assert letters(rule.holding(1, 0)) == "ssssss"
    # The norm layer after the last shared layer goes with it.
    assert [letters(rule.holding(2, client)) for client in range(3)] == ["sssspp"] * 3
    assert rule.holding(2, 0).since == 2
    (told,) = rule.rows(1)
    assert (told.metric, told.value, told.layer, told.owner, told.variant) == (
        "plan_prefix", 4, LAYERS[3].name, "server", "sensitivity",
    )  # fmt: skip
    assert told.reason == "before the transition of sensitivity after 2 in round 1"
    assert rule.rows(2) == []


def test_every_client_may_have_its_own_plan() -> None:
    rule = rule_of(choice="client")
    rule.observe([row(2), row(0, client=0), row(4, client=1)])
    # Client 2 took no part in the round and gets the common one.
    assert [letters(rule.holding(2, client)) for client in range(3)] == ["sspppp", "sssssp", "sssspp"]
    assert [(one.client, one.value, one.owner) for one in rule.rows(1)] == [(0, 2, "client"), (1, 5, "client")]


@pytest.mark.parametrize(("fallback", "wanted"), [("all", "ssssss"), ("head", "sssssp")])
def test_without_a_transition_the_fallback_holds_and_says_why(fallback: str, wanted: str) -> None:
    rule = rule_of(fallback=fallback, choice="client")
    rule.observe([row(None), row(None, client=0), row(0, client=1)])
    assert [letters(rule.holding(2, client)) for client in range(3)] == [wanted, "sspppp", wanted]
    first = rule.rows(1)[0]
    assert first.value == wanted.count("s") and first.variant == "sensitivity"
    assert first.reason == f"fallback {fallback}: no transition in round 1, the profile stays flat"
    assert rule.holding(2, 0).how == first.reason


def test_what_most_measures_say_counts_whatever_the_order() -> None:
    rows = [row(0, variant="curvature"), row(4, variant="combined"), row(2, variant="sensitivity")]
    for order in (rows, rows[::-1]):
        rule = rule_of()
        rule.observe(order)
        assert letters(rule.holding(2, 0)) == "sssssp"


def test_it_is_chosen_anew_after_each_of_its_rounds() -> None:
    rule = rule_of(rounds=[1, 3])
    assert rule.observed_in == (1, 3)
    rule.observe([row(0)])
    rule.observe([row(4, server_round=2), row(2, server_round=3)])
    assert [letters(rule.holding(r, 0)) for r in range(1, 5)] == ["ssssss", "sspppp", "sspppp", "sssspp"]


def test_rows_of_other_moments_and_quantities_are_passed_over() -> None:
    rule = rule_of()
    others: Sequence[Record] = [
        Record("transition_low", 1, round=1, moment="after_local"),
        Record("transition", 1, layer=LAYERS[0].name, round=1, moment="after_aggregate"),
    ]
    rule.observe(others)
    assert letters(rule.holding(2, 0)) == "ssssss" and rule.rows(1) == []


def test_what_it_found_goes_through_json() -> None:
    rule, again = rule_of(choice="client"), rule_of(choice="client")
    rule.observe([row(None), row(0, client=0), row(None, client=1)])
    again.restore(json.loads(json.dumps(rule.state())))
    assert again.found == rule.found and again.rows(1) == rule.rows(1)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"rounds": []},
            r"plan.rule.rounds must be a list of round numbers from 1, ascending, such as \[1\], got \[\]",
        ),
        ({"rounds": [2, 1]}, "plan.rule.rounds must be a list of round numbers"),
        ({"rounds": [0]}, "plan.rule.rounds must be a list of round numbers"),
        ({"rounds": ["first"]}, "plan.rule.rounds must be a list of round numbers"),
        ({"choice": "majority"}, "plan.rule.choice must be one of consensus, client, got 'majority'"),
        ({"fallback": "none"}, "plan.rule.fallback must be one of all, head, got 'none'"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Automatic(**settings)


def test_a_value_that_is_not_finite_is_no_transition() -> None:
    rule = rule_of()
    rule.observe([Record("transition", math.nan, round=1, moment="after_local", variant="sensitivity")])
    assert rule.holding(2, 0).how == "fallback head: no transition in round 1, it is not known"
