"""Which layers are shared and why, as a part of the page: in words, and the profiles with their intervals."""

from collections.abc import Iterable
from html import escape

import pandas as pd

from fedlayers.runs.damage import readable
from fedlayers.runs.quantities import load_quantities
from fedlayers.runs.reading.tables import Tables, read
from fedlayers.views.plans.transitions import METRICS, plan_sentences, rises, round_of_choice, transitions

# Of a study, at most so many runs are told one by one.
_MOST_RUNS = 50


def transitions_part(tables: Tables) -> str:
    """Return the part of the page; empty where no run looked for a transition.

    Args:
        tables: of a run or a study.
    """
    stated = readable(load_quantities, tables.runs, tables.several)
    looked = {run: [name for name in METRICS if name in known] for run, known in stated.items() if METRICS[0] in known}
    records = {run.name: read(run, metric=names).records for run, names in list(looked.items())[:_MOST_RUNS]}
    told = {name: rows for name, rows in records.items() if round_of_choice(rows) is not None}
    if not told:
        return ""
    parts = [_of_run(name if tables.several else "", rows) for name, rows in told.items()]
    left = len(looked) - _MOST_RUNS
    more = f"<p>{left} more runs: see their own reports.</p>\n" if left > 0 else ""
    body = "\n".join(parts)
    return f'<section id="transitions">\n<h2>Which layers are shared, and why</h2>\n{body}\n{more}</section>'


def _of_run(name: str, records: pd.DataFrame) -> str:
    sentences = [*plan_sentences(records), *(found.sentence for found in transitions(records))]
    lines = "\n".join(f"<p>{escape(sentence[0].upper() + sentence[1:])}.</p>" for sentence in sentences)
    heading = f"<h3>{escape(name)}</h3>\n" if name else ""
    return f"{heading}{lines}\n{_table(records)}"


def _table(records: pd.DataFrame) -> str:
    """Return a row per measure and layer: the median over clients, its interval, and the clients' range."""
    rows = rises(records)
    cells = []
    for (measure, _), own in rows.groupby(["measure", "layer_index"], sort=True):
        common, clients = own[own["client"].isna()], own[own["client"].notna()]["value"]
        if common.empty:
            continue
        one = common.iloc[0]
        interval = "" if pd.isna(one["low"]) else f"{one['low']:.3g} to {one['high']:.3g}"
        spread = f"{clients.min():.3g} to {clients.max():.3g}" if len(clients) else ""
        cells.append([str(measure), str(one["layer"]), f"{one['value']:.3g}", interval, spread])
    heads = ("measure", "layer", "rise (1: threshold), median over clients", "interval", "of single clients")
    body = "\n".join(_row("td", own) for own in cells)
    return (
        f"<details>\n<summary>Layer by layer, round {round_of_choice(records)}</summary>\n"
        f'<div class="wide"><table>\n<thead>{_row("th", heads)}</thead>\n<tbody>\n{body}\n</tbody>\n</table></div>\n'
        "</details>"
    )


def _row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
