"""What a tracker is given of a run, round by round: numbers and histograms with names, read from the run's tables."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.core.records import BEST
from fedlayers.opening.run import Run
from fedlayers.runs.file_names import SNAPSHOT, run_files, snapshot_of

# A curve of such a quantity is a histogram: counts over the middles of bins.
_HISTOGRAM = "_histogram"
_BINS = 50
# What a name is made of, after the quantity.
_PARTS = ("moment", "scope", "variant", "layer", "subject", "step", "model")
_COLUMNS = ("metric", *_PARTS, "owner", "client")


@dataclass(frozen=True)
class Histogram:
    """Counts in bins.

    Attributes:
        edges: of the bins, rising, shape (B + 1,).
        counts: shape (B,).
    """

    edges: np.ndarray
    counts: np.ndarray


@dataclass
class RoundValues:
    """What a run measured in one round.

    Attributes:
        number: the round.
        scalars: name -> number, finite.
        histograms: name -> counts in bins.
    """

    number: int
    scalars: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, Histogram] = field(default_factory=dict)


def rounds_of(run: Run) -> list[int]:
    """Return the rounds that a run, which may go on, has so far, ascending."""
    if "stretches" in run.facts:
        last = run.facts.get("round")
        return [] if last is None else list(range(int(last) + 1))
    # A folder of trackers: its epochs have numbers of their own.
    tables = run.tables
    return sorted({int(number) for frame in (tables.records, tables.resources) for number in frame["round"].unique()})


def values_of(run: Run, number: int, is_final: bool, clients: bool) -> RoundValues:
    """Return what is known of one round.

    Args:
        run: the run.
        number: the round.
        is_final: whether what was measured at the end, moment ``final``, is meant, or all before it.
        clients: whether every client has values of its own beside the mean over clients.
    """
    found = RoundValues(number)

    def chosen(frame: pd.DataFrame) -> pd.DataFrame:
        moment = frame["moment"].astype(object)
        return frame[moment == "final" if is_final else ~moment.isin(["final", BEST])]

    records = chosen(run.records(round=number))
    for name, value in _scalars(records, "", clients):
        _put(found.scalars, name, value)
    for name, value in _scalars(chosen(run.resources(round=number)), "resources", clients):
        _put(found.scalars, name, value)
    for name, value in _means(chosen(run.pairs(round=number)), "", "mean_of_pairs"):
        _put(found.scalars, name, value)
    curves = chosen(run.spectra(round=number))
    for row in _rows(curves if clients else curves[curves["client"].isna()]):
        if str(row["metric"]).endswith(_HISTOGRAM) and len(row["x"]) > 1:
            _put(found.histograms, _name(row, "", _who(row)), _of_middles(np.asarray(row["x"]), np.asarray(row["y"])))
    if not is_final:
        for name, histogram in _of_weights(run, number):
            _put(found.histograms, name, histogram)
    return found


def _scalars(frame: pd.DataFrame, prefix: str, clients: bool) -> Iterator[tuple[str, float]]:
    """Yield name and value of the server's rows, of the mean over clients and, if asked for, of each client's."""
    known = _known(frame)
    is_client = known["client"].notna()
    for row in _rows(known if clients else known[~is_client]):
        yield _name(row, prefix, _who(row)), float(row["value"])
    yield from _means(known[is_client], prefix, "mean_of_clients")


def _means(frame: pd.DataFrame, prefix: str, who: str) -> Iterator[tuple[str, float]]:
    """Yield the mean of rows that differ in clients, and in what a pair is of, alone."""
    known = _known(frame)
    keys = [key for key in ("metric", *_PARTS) if key in known]
    texts = known[keys].astype(object)
    groups = known["value"].groupby(
        [texts[key].where(texts[key].notna(), None) for key in keys], dropna=False, sort=True
    )
    for values, mean in groups.mean().items():
        parts = values if isinstance(values, tuple) else (values,)
        yield _name(dict(zip(keys, parts, strict=True)), prefix, who), float(mean)


def _known(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have a value."""
    known: pd.DataFrame = frame.loc[np.isfinite(frame["value"].to_numpy(dtype=float))]
    return known


def _rows(frame: pd.DataFrame) -> Iterator[Mapping[str, Any]]:
    wanted = [key for key in (*_COLUMNS, "value", "x", "y") if key in frame]
    plain = frame[wanted].astype(object)
    for values in plain.itertuples(index=False, name=None):
        yield dict(zip(wanted, values, strict=True))


def _who(row: Mapping[str, Any]) -> str:
    client: Any = row.get("client")
    return "server" if _is_nothing(client) else f"client_{int(client)}"


def _name(row: Mapping[str, Any], prefix: str, who: str) -> str:
    """Return metric/moment/scope/variant/layer/subject/step/model/whose, as far as known, in letters that all take."""
    parts = [prefix, str(row["metric"])]
    for key in _PARTS:
        value: Any = row.get(key)
        if not _is_nothing(value):
            parts.append(f"step_{int(value):06d}" if key == "step" else str(value))
    cleaned = (re.sub(r"[^A-Za-z0-9_.-]+", "_", part).strip("_") for part in (*parts, who) if part)
    return "/".join(part or "_" for part in cleaned)


def _is_nothing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _put(into: dict[str, Any], name: str, value: Any) -> None:
    """Add a value; one whose name differs from another's only in letters that trackers do not take gets a number."""
    free = (name if number == 1 else f"{name}_{number}" for number in count(1))
    into[next(one for one in free if one not in into)] = value


def _of_middles(middles: np.ndarray, counts: np.ndarray) -> Histogram:
    half = (middles[1] - middles[0]) / 2
    return Histogram(np.append(middles - half, middles[-1] + half), counts.astype(np.float64))


def _of_weights(run: Run, number: int) -> Iterator[tuple[str, Histogram]]:
    """Yield a histogram of each tensor of the server's model, if the run has kept that of the round."""
    files = run_files(run.folder / "snapshots", SNAPSHOT)
    if (number, "server") not in {snapshot_of(file.path.name) for file in files if not file.unfinished}:
        return
    for name, tensor in run.weights(number).items():
        values = tensor.detach().double().numpy().ravel()
        values = values[np.isfinite(values)]
        if tensor.is_floating_point() and len(values):
            counts, edges = np.histogram(values, _BINS)
            yield f"weights/{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}", Histogram(edges, counts.astype(np.float64))
