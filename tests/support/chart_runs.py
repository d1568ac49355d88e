"""Made-up runs for charts: what clients and layers have in one, row by row."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from fedlayers.charts.charted import Charted
from fedlayers.core.records import Row, table_of, to_table
from fedlayers.runs.reading.tables import Tables, read
from tests.support.fake_run import Fake, run_facts, write_run


def run_with(
    study: Path, rows: Sequence[Row], facts: Mapping[str, Any] | None = None, fake: Fake | None = None
) -> Tables:
    """Return the tables of a run that holds these rows and no others.

    Args:
        study: the folder to write the run's into.
        rows: with their rounds.
        facts: entries of run.json in place of the usual ones.
        fake: what else the run is.
    """
    fake = fake or Fake()
    run = write_run(study, fake)
    for table in ("records", "pairs", "spectra"):
        for part in (run / table).glob("*.parquet"):
            part.unlink()
        (run / table).mkdir(exist_ok=True)
        mine = [row for row in rows if table_of(row) == table]
        for number in {row.round for row in mine} or {0}:
            of_round = [row for row in mine if row.round == number]
            pq.write_table(to_table(table, of_round), run / table / f"round={number:06d}.parquet")
    told = run_facts(study, fake) | dict(facts or {})
    stated = json.loads((run / "run.json").read_text())["files"]
    (run / "run.json").write_text(json.dumps({"files": stated, **told}))
    return read(run)


def frame_of(charted: Charted) -> pd.DataFrame:
    """Return what a chart shows as a frame, as it arrives at a page."""
    found: pd.DataFrame = charted.table().to_pandas()
    return found
