"""The answers about layers as a part of the page: statements in words, and what every quantity says."""

import math
from collections.abc import Iterable
from html import escape

from fedlayers.core.errors import UserError
from fedlayers.runs.damage import readable
from fedlayers.runs.quantities import load_quantities
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.chain.answered import Answered, answered
from fedlayers.views.chain.answers import Answer
from fedlayers.views.chain.questions import QUESTIONS
from fedlayers.views.quantities import axis_label

_HEADS = ("runs", "question", "quantity", "of", "first layer → last", "change", "τ", "p", "mean over layers", "answer")


def answers_part(tables: Tables) -> str:
    """Return the part of the page; empty where not all three questions can have an answer, or no run is complete.

    Args:
        tables: of a run or a study.
    """
    stated = {name for known in readable(load_quantities, tables.runs, tables.several).values() for name in known}
    if not all(question.main in stated for question in QUESTIONS):
        return ""
    try:
        found = answered(tables)
    except UserError:  # no run of the study is complete yet
        return ""
    return _section(found) if found.found else ""


def _section(found: Answered) -> str:
    parts = []
    for heading, sentences in found.paragraphs():
        parts.append(f"<h3>{escape(heading)}</h3>")
        parts += [f"<p>{escape(sentence)}</p>" for sentence in sentences]
    runs = sum(len(group.group.runs) for group in found.study.groups)
    of = f" · {runs} complete runs" if runs > 1 else ""
    body = "\n".join(_row("td", _cells(answer, found)) for answer in found.found)
    return (
        f'<section id="answers">\n<h2>What layers answer{of}</h2>\n' + "\n".join(parts) + "\n<details>"
        "<summary>All quantities; in brackets 95 % intervals over runs, p two-sided</summary>\n"
        f'<div class="wide"><table>\n<thead>{_row("th", _HEADS)}</thead>\n<tbody>\n{body}\n</tbody>\n</table></div>\n'
        "</details>\n</section>"
    )


def _cells(answer: Answer, found: Answered) -> list[str]:
    name = axis_label(found.study.quantities[answer.quantity])
    return [
        answer.group,
        answer.question,
        f"{name}{f' ({answer.variant})' if answer.variant else ''}",
        answer.who,
        f"{answer.first_layer} {_number(answer.first)} → {answer.last_layer} {_number(answer.last)}",
        _with_interval(answer.change, answer.change_low, answer.change_high),
        _number(answer.tau),
        f"{answer.p:.2g} ({answer.test})" if math.isfinite(answer.p) else "",
        _with_interval(answer.level, answer.level_low, answer.level_high),
        answer.verdict,
    ]


def _with_interval(value: float, low: float, high: float) -> str:
    interval = f" [{_number(low)}, {_number(high)}]" if math.isfinite(low) else ""
    return f"{_number(value)}{interval}"


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else ""


def _row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
