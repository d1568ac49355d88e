"""How clients differ as a part of the page: verdicts in words, disagreement beside its null level, record clusters."""

from collections.abc import Iterable
from html import escape

import pandas as pd

from fedlayers.runs.damage import readable
from fedlayers.runs.quantities import load_quantities
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables, read
from fedlayers.views.heterogeneity.disagreements import METRIC, SPLITS, disagreements, origins
from fedlayers.views.heterogeneity.record_clusters import record_clusters
from fedlayers.views.heterogeneity.verdicts import group_verdicts, verdicts

# Of a study, at most so many runs are told one by one.
_MOST_RUNS = 50
# What is asked of the tables: all that the views of heterogeneity look at.
_METRICS = (
    METRIC, *SPLITS, "label_shift", "feature_shift", "concept_shift", "shift_named", "shift_by_class", "shift_by_group",
    "group_shift_named", "parting_layer", "record_cluster_size", "record_cluster_accuracy",
)  # fmt: skip


def heterogeneity_part(tables: Tables) -> str:
    """Return the part of the page; empty where no run measured heterogeneity.

    Args:
        tables: of a run or a study.
    """
    stated = readable(load_quantities, tables.runs, tables.several)
    looked = {run: [name for name in _METRICS if name in known] for run, known in stated.items() if METRIC in known}
    parts = []
    for run, names in list(looked.items())[:_MOST_RUNS]:
        records = read(run, metric=names).records
        if not records.empty:
            parts.append(_of_run(run.name if tables.several else "", records, run_facts(run)))
    if not any(parts):
        return ""
    left = len(looked) - _MOST_RUNS
    more = f"<p>{left} more runs: see their own reports.</p>\n" if left > 0 else ""
    body = "\n".join(filter(None, parts))
    return f'<section id="heterogeneity">\n<h2>How clients differ</h2>\n{body}\n{more}</section>'


def _of_run(name: str, records: pd.DataFrame, facts: dict[str, object]) -> str:
    told, measured = verdicts(records, facts), disagreements(records, facts)
    if told.empty and measured.empty:
        return ""
    heading = f"<h3>{escape(name)}</h3>\n" if name else ""
    lines = "\n".join(f"<p>{escape(line)}</p>" for line in _lines(told, records))
    return f"{heading}{lines}\n{_clients(told, measured, record_clusters(records, facts))}{_origins(records, facts)}"


def _lines(told: pd.DataFrame, records: pd.DataFrame) -> list[str]:
    """Return the verdicts on clients of which a kind of shift is named, and on groups; one line if none is."""
    named = told[told["named"]].drop_duplicates("client")
    lines = [f"Client {row.client_name}: {row.sentence}." for row in named.itertuples()]
    if not told.empty and named.empty:
        lines.append("No client differs from the others in its labels, its records, or what its labels mean.")
    groups = group_verdicts(records)
    groups = groups[groups["named"]].drop_duplicates("group")
    return lines + [f"{str(row.group).capitalize()}: {row.sentence}." for row in groups.itertuples()]


def _clients(told: pd.DataFrame, measured: pd.DataFrame, clusters: pd.DataFrame) -> str:
    """Return a row per client: disagreement, its null level, clusters of those examples, and the verdict."""
    last = measured[measured["round"] == measured["round"].max()].set_index("client")
    sentences = told.drop_duplicates("client").set_index("client")
    names = pd.concat([last["client_name"], sentences["client_name"]])
    cells = []
    for client, name in names[~names.index.duplicated()].sort_index().items():
        own = clusters[clusters["client"] == client]
        shown = ", ".join(f"{row.size} ({row.accuracy:.0%} right)" for row in own.itertuples(index=False))
        values = last.loc[client] if client in last.index else None
        share = "" if values is None else _number(values["value"])
        null = "" if values is None else _number(values["chance"])
        p = "" if values is None else _number(values["p"], ".2g")
        sentence = str(sentences.loc[client, "sentence"]) if client in sentences.index else ""
        cells.append([str(name), share, null, p, shown, sentence])
    heads = ("client", "disagreement", "null level", "p", "clusters of these examples", "verdict")
    number = int(max(table["round"].max() for table in (told, measured) if not table.empty))
    return _folded(f"Client by client, round {number}: own against common model", heads, cells)


def _origins(records: pd.DataFrame, facts: dict[str, object]) -> str:
    """Return where disagreement comes from: means over clients, and ranges."""
    cells = []
    for by, word in SPLITS.items():
        rows = origins(records, facts, by)
        for part, own in rows.groupby("part", sort=False):
            spread = f"{own['value'].min():.3g} to {own['value'].max():.3g}" if len(own) > 1 else ""
            cells.append([word, str(part), _number(own["value"].mean()), spread, _number(own["chance"].mean())])
    if not cells:
        return ""
    heads = ("by", "part", "disagreement, mean over clients", "of single clients", "null level")
    return "\n" + _folded("Where disagreement comes from (layers: nat)", heads, cells)


def _folded(summary: str, heads: Iterable[str], cells: Iterable[Iterable[str]]) -> str:
    body = "\n".join(_row("td", own) for own in cells)
    table = f"<table>\n<thead>{_row('th', heads)}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    return f'<details>\n<summary>{escape(summary)}</summary>\n<div class="wide">{table}</div>\n</details>'


def _number(value: object, form: str = ".3g") -> str:
    return "" if pd.isna(value) else format(float(value), form)  # type: ignore[arg-type, call-overload]


def _row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
