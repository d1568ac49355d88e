"""The answers in plain words, with their numbers."""

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from fedlayers.core.quantities import Quantities
from fedlayers.views.chain.answers import HARDLY, IN_PART, NO, NOT_SHOWN, UNSAID, YES, Answer
from fedlayers.views.chain.comparisons import Contrast
from fedlayers.views.chain.questions import QUESTIONS, Question
from fedlayers.views.quantities import axis_label

BEGINS = {
    YES: "Yes",
    NO: "No, the opposite",
    HARDLY: "Hardly",
    IN_PART: "In part",
    NOT_SHOWN: "Not shown",
    UNSAID: "Cannot be said",
}
_MOST_COMPARED = 12


def statement(answer: Answer, quantities: Quantities) -> str:
    """Return what one answer says, in a sentence or two.

    Args:
        answer: which.
        quantities: what is known of its quantity.
    """
    name = axis_label(quantities[answer.quantity])
    if not answer.layers:
        return f"Cannot be said by {name}: {answer.reason}."
    told = [_of_neighbours(answer, name) if math.isfinite(answer.same) else _over_depth(answer, name)]
    if answer.reason:
        told.append(answer.reason[0].upper() + answer.reason[1:] + ".")
    return f"{BEGINS[answer.verdict]}: {' '.join(told)}"


def _over_depth(answer: Answer, name: str) -> str:
    if answer.layers == 1:
        return f"{name} is {_number(answer.first)} at {answer.first_layer}."
    ends = f"{_number(answer.first)} at {answer.first_layer} to {_number(answer.last)} at {answer.last_layer}"
    by = f"by {_signed(answer.change)}{_interval(answer.change_low, answer.change_high)}"
    inside = {answer.first_layer, answer.last_layer}
    turns = [
        f"{word} at {layer}"
        for word, layer in (("highest", answer.highest), ("lowest", answer.lowest))
        if layer not in inside
    ]
    return f"{name} goes from {ends}, {by}{_tested(answer)}{'; ' * bool(turns)}{' and '.join(turns)}."


def _of_neighbours(answer: Answer, name: str) -> str:
    chance = f", {_number(answer.chance)} what chance gives" if math.isfinite(answer.chance) else ""
    level = f"{_number(answer.level)}{_interval(answer.level_low, answer.level_high)} on average over {answer.layers}"
    layers = f"layer{'s' * (answer.layers > 1)}"
    about = f"{name} is {level} {layers} ({_number(answer.same)} would be two equal layers{chance})"
    if answer.layers < 2:
        return f"{about}."
    extremes = f"highest at {answer.highest}, lowest at {answer.lowest}"
    return f"{about}, {extremes}; over depth it goes {_signed(answer.change)}{_tested(answer)}."


def _tested(answer: Answer) -> str:
    if not answer.test:
        return ""
    return f" ({answer.test}, p = {answer.p:.2g}, {answer.runs} run{'s' * (answer.runs > 1)} of {answer.layers} layers)"


def _interval(low: float, high: float) -> str:
    return f" [{_number(low)}, {_number(high)}]" if math.isfinite(low) and math.isfinite(high) else ""


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−")


def beside(found: Sequence[Answer], quantities: Quantities) -> str:
    """Return what other quantities of one question say, in one line; empty if there are none.

    Args:
        found: of one group, question and owner.
        quantities: what is known of them.
    """
    return "; ".join(_beside(answer, axis_label(quantities[answer.quantity])) for answer in found)


def _beside(answer: Answer, name: str) -> str:
    named = f"{name} ({answer.variant})" if answer.variant else name
    if math.isfinite(answer.same):
        said = f"{_number(answer.level)}{_interval(answer.level_low, answer.level_high)}"
    elif answer.layers > 1:
        tested = f", p = {answer.p:.2g}" if math.isfinite(answer.p) else ""
        said = f"{_signed(answer.change)}{_interval(answer.change_low, answer.change_high)}{tested}"
    else:
        return f"{named}: {answer.verdict}, no two layers have a value in every run"
    return f"{named} {said}: {answer.verdict}"


def of_clients(clients: pd.DataFrame, answer: Answer, quantities: Quantities) -> str:
    """Return how clients' own models spread around an answer; empty if fewer than two have one.

    Args:
        clients: of :func:`fedlayers.views.chain.comparisons.client_answers`.
        answer: the one of their group.
        quantities: what is known of its quantity.
    """
    same = (clients["group"] == answer.group) & (clients["quantity"] == answer.quantity)
    mine = clients[same & (clients["variant"] == answer.variant) & (clients["layers"] > 1)]
    if mine["client"].nunique() < 2:
        return ""
    name = axis_label(quantities[answer.quantity])
    neighbours = math.isfinite(answer.same)
    values = mine["level" if neighbours else "change"]
    low, middle, high = (_number(float(values.quantile(share))) for share in (0.1, 0.5, 0.9))
    runs = mine["run"].nunique()
    who = f"{mine['client'].nunique()} clients' own models" + (f" in {runs} runs" if runs > 1 else "")
    spread = f"median {middle}, 10th to 90th percentile {low} to {high}"
    if neighbours:
        return f"Of {who}: {name}, mean over layers, {spread}."
    rising = f"it rises in {(values > 0).mean():.0%} of them and falls in {(values < 0).mean():.0%}"
    return f"Of {who}: {name} from the first to the last layer, {spread}; {rising}."


def compared(found: Sequence[Contrast], quantities: Quantities) -> list[str]:
    """Return whether groups answer alike, a sentence for each comparison of what answers by default."""
    main = [one for one in found if one.main]
    told = [_compared(one, quantities) for one in main[:_MOST_COMPARED]]
    more = len(main) - len(told)
    return [*told, f"{more} more are in the table."] if more else told


def _compared(one: Contrast, quantities: Quantities) -> str:
    what = axis_label(quantities[one.quantity])
    of = f"{what}, {one.of},"
    by = f"{_signed(one.difference)}{_interval(one.low, one.high)}"
    if not math.isfinite(one.low):
        verdict = "one run has no interval: take more seeds"
    else:
        verdict = "they differ" if one.is_shown else "no difference is shown"
    runs = f"{one.runs} seeds, paired" if one.paired else f"{one.runs} and {one.other_runs} runs"
    return f"{one.other} against {one.group}: {of} differs by {by} ({runs}): {verdict}."


def by_question(found: Sequence[Answer]) -> Iterator[tuple[Question, list[Answer]]]:
    """Yield each question that has answers, and these."""
    for question in QUESTIONS:
        mine = [answer for answer in found if answer.question == question.name]
        if mine:
            yield question, mine
