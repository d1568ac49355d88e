"""Which clients took part in the rounds of a run, and which failed."""

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.core.errors import UserError
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.client_names import client_names

# The resource that a client tells of whenever it has trained, and the record of one that failed.
TRAINED, FAILED = "train_s", "client"
ASKED = (TRAINED, FAILED)
COLUMNS = ("round", "moment", "client", "metric", "status", "reason")
_MOST_TOLD = 200


def participation(tables: Tables) -> Charted:
    """Return how many clients trained and how many failed, round by round.

    Args:
        tables: of one run: its resources ``train_s`` and its records ``client``, which tell of failures, with
            ``COLUMNS``.

    Returns:
        Columns ``round, trained, failed``; facts ``failures`` (``round, client, name, moment, reason`` of each, at most
        200), ``clients`` (how many there are) and ``notes``.

    Raises:
        UserError: the run says neither.
    """
    trained, failed = _trained(tables.resources), _failed(tables.records)
    if trained.empty and failed.empty:
        raise UserError("the run does not say who trained: no client has told its training time (train_s in resources)")
    # A client that fails both when it trains and when it is evaluated failed once.
    lost = failed.drop_duplicates(["round", "client"]).groupby("round").size()
    done = trained.drop_duplicates(["round", "client"]).groupby("round").size()
    rounds = np.arange(1, max(int(of.index.max()) for of in (done, lost) if len(of)) + 1)
    counts = {
        name: of.reindex(rounds, fill_value=0).to_numpy(int) for name, of in (("trained", done), ("failed", lost))
    }
    facts = run_facts(tables.runs[0])
    names = client_names(facts, failed["client"])
    failures = [row | {"name": names[row["client"]]} for row in failed.head(_MOST_TOLD).to_dict("records")]
    notes = [f"{_MOST_TOLD} of {len(failed)} failures are listed"] if len(failed) > _MOST_TOLD else []
    return Charted({"round": rounds, **counts}, {"failures": failures, "clients": facts.get("clients"), "notes": notes})


def _trained(resources: pd.DataFrame) -> pd.DataFrame:
    chosen = (resources["metric"] == TRAINED) & resources["client"].notna()
    return resources.loc[chosen, ["round", "client"]].astype(int)


def _failed(records: pd.DataFrame) -> pd.DataFrame:
    chosen = (records["metric"] == FAILED) & (records["status"] == "missing") & records["client"].notna()
    found = records.loc[chosen, ["round", "client", "moment", "reason"]]
    return found.astype({"round": int, "client": int, "moment": str, "reason": str})
