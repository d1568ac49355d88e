"""The three answers as a figure: what speaks to each question over depth, with the verdict."""

from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.core.quantities import Facts
from fedlayers.figures.drawing.axes import label_categories
from fedlayers.figures.drawing.chance import draw_chance
from fedlayers.figures.drawing.profile_line import Look, draw_profile, side_by_side
from fedlayers.figures.drawing.scale import scale_for
from fedlayers.figures.drawing.style import PALETTE, headline, legend_below, new_figure
from fedlayers.figures.studies.group_lines import draw_groups
from fedlayers.statistics.over_runs import band_over_runs
from fedlayers.statistics.spread import band_name, spread_along
from fedlayers.views.chain.answered import Answered
from fedlayers.views.chain.answers import Answer, by_run
from fedlayers.views.chain.questions import QUESTION_OF
from fedlayers.views.chain.readings import CLIENTS, GLOBAL, layer_names
from fedlayers.views.chain.statements import BEGINS, by_question
from fedlayers.views.quantities import axis_label

_WIDTH_IN = 3.4
_MOST_VERDICTS = 4
_TITLE_LETTERS = 44


def research_questions(answered: Answered) -> Figure:
    """Return a column per question: the quantity that answers it and its verdict on top, the others below.

    Of several runs lines are means over them with their 95 % interval, a line per group; of one run the global model's
    values with their standard errors, and the mean over clients' models. Dots are what chance alone gives, dashes what
    two equal layers would give.

    Args:
        answered: with one answer or more.
    """
    columns = [(question, _panels(found)) for question, found in by_question(answered.found)]
    deepest = max(len(panels) for _, panels in columns)
    figure = new_figure(_WIDTH_IN * len(columns), 1.9 + 1.85 * deepest)
    grid = figure.subplots(deepest, len(columns), squeeze=False)
    notes = set()
    for column, (question, panels) in enumerate(columns):
        for line, axes in enumerate(grid[:, column]):
            if line >= len(panels):
                axes.remove()
                continue
            notes.add(_panel(axes, answered, panels[line]))
            title = f"{question.text}\n{_verdicts(panels[line])}" if line == 0 else ""
            axes.set_title(title)
    legend_below(figure, *sorted(note for note in notes if note))
    headline(figure, answered.study.facts, "last values measured")
    return figure


def _panels(found: list[Answer]) -> list[list[Answer]]:
    """Return the answers of each panel: of one quantity, those of the main variant and owner of each group."""
    panels: dict[str, list[Answer]] = {}
    for answer in found:
        mine = panels.setdefault(answer.quantity, [])
        if answer.group not in {one.group for one in mine}:
            mine.append(answer)
    order = list(QUESTION_OF)
    return sorted(
        panels.values(), key=lambda panel: (not any(one.main for one in panel), order.index(panel[0].quantity))
    )


def _verdicts(answers: list[Answer]) -> str:
    if len(answers) == 1:
        return BEGINS[answers[0].verdict]
    told = [f"{answer.group}: {BEGINS[answer.verdict].lower()}" for answer in answers[:_MOST_VERDICTS]]
    more = len(answers) - len(told)
    return "\n".join(fill(text, _TITLE_LETTERS) for text in [*told, *([f"{more} more below"] * bool(more))])


def _panel(axes: Axes, answered: Answered, shown: list[Answer]) -> str:
    """Draw one quantity and return what its bands are."""
    quantity = answered.study.quantities[shown[0].quantity]
    rows = answered.readings[answered.readings["metric"] == shown[0].quantity]
    mine = pd.concat([_counting(rows, one) for one in shown])
    names = layer_names(answered.readings)
    lined = np.arange(len(names))
    if answered.readings["run"].nunique() > 1:
        interval = draw_groups(axes, mine, answered.study.plain_groups, quantity, "place", lined)
        note = band_over_runs() if interval else ""
    else:
        both = rows[rows["variant"] == shown[0].variant]
        note = _of_one_run(axes, both, quantity, lined)
        mine = both
    if np.isfinite(shown[0].same):
        axes.axhline(shown[0].same, color="#888888", ls="--", lw=1.0, label="two equal layers", zorder=0)
    if mine.empty:
        axes.text(0.5, 0.5, "no layer has a value in every run", transform=axes.transAxes, ha="center", fontsize=8)
        axes.set_yticks([])
    draw_chance(axes, mine)
    # Intervals of what has a lowest and a highest value often reach zero, which a logarithmic axis has no place for.
    if not np.isfinite(quantity.limits).all():
        scale_for(axes, mine["value"].to_numpy(float), quantity)
    axes.set_ylabel(fill(axis_label(quantity), 24))
    label_categories(axes, list(names.values()), inches=_WIDTH_IN - 0.7)
    axes.set_xlim(-0.5, len(names) - 0.5)
    return note


def _counting(rows: pd.DataFrame, answer: Answer) -> pd.DataFrame:
    """Return the rows that an answer comes from: those of layers that have a value in every run."""
    of_variant = rows[(rows["variant"] == answer.variant) & (rows["who"] == answer.who)]
    mine = of_variant[of_variant["group_name"] == answer.group]
    found: pd.DataFrame = mine[mine["place"].isin(by_run(mine).columns)]
    return found


def _of_one_run(axes: Axes, rows: pd.DataFrame, quantity: Facts, lined: np.ndarray) -> str:
    note = ""
    kinds = [who for who in (GLOBAL, CLIENTS) if (rows["who"] == who).any()]
    for number, who in enumerate(kinds):
        spread = spread_along(rows[rows["who"] == who], "place", quantity.limits)
        many = who == CLIENTS and spread.count > 1
        look = Look(PALETTE[number], "os"[number], who == GLOBAL, side_by_side(number, len(kinds)))
        draw_profile(axes, spread, lined, f"mean over {who}" if many else who, look)
        note = band_name(spread.count) if many else note
    return note
