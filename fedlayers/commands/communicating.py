"""Communication to reach an accuracy, beside a comparison: table and figure."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from fedlayers.core.machine.disk import whole_file, write_text
from fedlayers.figures.studies.communication import communication_figure
from fedlayers.runs.reading.tables import read
from fedlayers.views.comparison.communication import communication, travelled
from fedlayers.views.run_groups import Setting, complete_runs, settings_of


def write_communication(folders: Sequence[Path], folder: Path) -> tuple[list[Path], str]:
    """Write what training sent until accuracies were reached into a folder; nothing where no run measured it.

    Returns the files, and a sentence about the algorithms that they lack, "" if they lack none.

    Args:
        folders: of studies or runs.
        folder: where the comparison is.
    """
    tables = [read(place) for place in folders]
    sound = {run: one for one in tables for run in complete_runs(one)}
    whole = [replace(one, runs=tuple(run for run, own in sound.items() if own is one)) for one in tables]
    records, resources = (pd.concat([getattr(one, name) for one in whole]) for name in ("records", "resources"))
    settings = settings_of(list(sound))
    found = communication(records, resources, settings)
    if found.empty:
        return [], ""
    with whole_file(folder / "communication.parquet") as file:
        found.to_parquet(file, index=False)
    write_text(folder / "communication.csv", found.to_csv(index=False))
    files = [folder / "communication.parquet", folder / "communication.csv"]
    names = list(dict.fromkeys(map(str, found["setting"])))
    for name in names:
        rows = found[found["setting"] == name]
        files.append(folder / ("communication.png" if len(names) == 1 else f"communication_{name}.png"))
        with whole_file(files[-1]) as file:
            communication_figure(rows).savefig(file, format="png", dpi=200, bbox_inches="tight")
    return files, _left_out(settings, travelled(resources))


def _left_out(settings: Sequence[Setting], measured: Collection[str]) -> str:
    names = [group.name for one in settings for group in one.groups if not {*group.runs} & {*measured}]
    if not names:
        return ""
    which = ", ".join(dict.fromkeys(names))
    return f"communication lacks {which}: metrics=[resources] measures bytes, from the first round on"
