"""What kind of shift each client has, and each group of them, as a run's records say it: a row each, in words."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from fedlayers.core.kinds.shifts import SHIFT_WORDS, shift_sentence, standing_out
from fedlayers.views.client_names import client_names
from fedlayers.views.moments import one_moment

KINDS = tuple(SHIFT_WORDS)


def verdicts(records: pd.DataFrame, facts: Mapping[str, Any]) -> pd.DataFrame:
    """Return the tests of each client in the last round, a row per client and kind of shift.

    Args:
        records: of one run.
        facts: of the run, for clients' names.

    Returns:
        Columns ``round, client, client_name, kind, effect`` (NaN where nothing can be said), ``p, named, reason,
        classes`` (names of those in which it stands out) and ``sentence`` (of the client, the same for its kinds); by
        client; no rows if nothing was measured.
    """
    rows = records[records["metric"].isin([f"{kind}_shift" for kind in KINDS]) & records["client"].notna()]
    rows = _last(rows)
    found = rows.assign(kind=rows["metric"].astype(str).str.removesuffix("_shift"))
    names = client_names(facts, found["client"])
    found["client_name"] = [names[int(client)] for client in found["client"]]
    named = _last(records[(records["metric"] == "shift_named") & (records["value"] == 1)])
    keys = set(zip(named["client"], named["subject"].astype(str), strict=True))
    found["named"] = [key in keys for key in zip(found["client"], found["kind"], strict=True)]
    parts = _last(records[records["metric"] == "shift_by_class"])
    found["classes"] = [_classes(parts, *key) for key in zip(found["client"], found["kind"], strict=True)]
    return _told(found, "client", ["round", "client", "client_name"])


def group_verdicts(records: pd.DataFrame) -> pd.DataFrame:
    """Return the tests of each group of clients against all others in the last round, a row per group and kind.

    Args:
        records: of one run.

    Returns:
        As of :func:`verdicts`, with ``group`` in place of the client, and no classes.
    """
    rows = _last(records[records["metric"] == "shift_by_group"])
    found = rows.assign(kind=rows["variant"].astype(object), group=rows["subject"].astype(object))
    named = _last(records[(records["metric"] == "group_shift_named") & (records["value"] == 1)])
    keys = set(zip(named["subject"].astype(str), named["variant"].astype(str), strict=True))
    found["named"] = [key in keys for key in zip(found["group"], found["kind"], strict=True)]
    found["classes"] = [[] for _ in range(len(found))]
    return _told(found, "group", ["round", "group"])


def _told(found: pd.DataFrame, whose: str, columns: list[str]) -> pd.DataFrame:
    """Return the rows with their sentences, in the order of clients or groups and kinds."""
    sentences = {who: _sentence(own) for who, own in found.groupby(whose, observed=True)}
    order = found["kind"].map({kind: place for place, kind in enumerate(KINDS)})
    found = found.assign(
        sentence=[sentences[who] for who in found[whose]],
        effect=found["value"].where(found["status"] == "ok", math.nan),
        order=order,
    ).sort_values([whose, "order"])
    wanted = [*columns, "kind", "effect", "p", "named", "reason", "classes", "sentence"]
    return found[wanted].reset_index(drop=True)


def _sentence(own: pd.DataFrame) -> str:
    named, silent = own[own["named"]], own[own["status"] != "ok"]
    return shift_sentence(
        dict(zip(named["kind"], named["p"].astype(float), strict=True)),
        dict(zip(silent["kind"], silent["reason"].astype(str), strict=True)),
        dict(zip(named["kind"], named["classes"], strict=True)),
    )


def _classes(parts: pd.DataFrame, client: int, kind: str) -> list[str]:
    """Return the classes in which a client's shift stands out."""
    own = parts[(parts["client"] == client) & (parts["variant"] == kind)]
    return standing_out(dict(zip(own["subject"].astype(str), own["value"].astype(float), strict=True)))


def _last(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the last round at one moment."""
    found = rows if rows.empty else one_moment(rows)[1]
    last: pd.DataFrame = found[found["round"] == found["round"].max()]
    return last
