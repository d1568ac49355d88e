"""The figures of time, memory and operations, from a run's resources."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pandas as pd

from fedlayers.opening.run import Run
from metrics.resource_usage import figures
from metrics.resource_usage.components import ComponentTime

# What the server notes of every round, where clients do not note their parts: quantity -> name.
_PHASES = {"train_phase_s": "train", "aggregate_s": "aggregate", "evaluate_phase_s": "evaluate"}
_MIB = 2**20


def resource_figures(run: Run) -> dict[str, Callable[[], Any]]:
    """Return file name -> figure: memory, times of parts and their shares, throughput, operations by layer.

    Times of parts are means over clients, or the server's of a round's phases; memory is the largest of any client's
    process, or the server's.
    """
    rows = run.tables.resources
    rows = rows[rows["moment"].astype(str) != "final"]
    numbers = [int(number) for number in sorted(rows["round"].unique())]
    # Round 0 of a federation is the evaluation before training.
    numbers = [number for number in numbers if number or "stretches" not in run.facts]
    rounds = [_of_round(number, rows[rows["round"] == number]) for number in numbers]
    found: dict[str, Callable[[], Any]] = {}
    if any(one.memory.host is not None for one in rounds):
        found["memory_usage"] = partial(figures.memory_usage, rounds)
    if any(one.components for one in rounds):
        found["component_times"] = partial(figures.component_times, rounds)
        found["component_pie_chart"] = partial(figures.component_shares, rounds)
    if any(one.throughput for one in rounds):
        found["throughput"] = partial(figures.throughput, rounds)
    flops = rows[(rows["metric"].astype(str) == "forward_flops") & rows["layer"].notna()]
    if len(flops):
        by_layer = flops.sort_values("layer_index").drop_duplicates("layer")
        counts = {str(name): float(value) for name, value in zip(by_layer["layer"], by_layer["value"], strict=True)}
        found["forward_flops"] = partial(figures.flops_by_layer, counts)
    return found


def _of_round(number: int, rows: pd.DataFrame) -> SimpleNamespace:
    """Return one round as the figures of a monitor's epochs want it."""
    names = rows["metric"].astype(str)

    def most(name: str) -> float | None:
        values = rows["value"][names == name]
        return float(values.max()) if len(values) else None

    servers = rows[names == "server_memory"]
    server = float(servers["value"].max()) if len(servers) else None
    # Runs of earlier versions have it in MiB.
    in_mib = len(servers) and str(servers["unit"].iloc[0]) == "MiB"
    host = most("host_memory") or (server * _MIB if server is not None and in_mib else server)
    memory = SimpleNamespace(
        host=host,
        allocated=most("gpu_memory"),
        peak_allocated=most("peak_gpu_memory"),
        peak_reserved=most("peak_gpu_reserved"),
    )
    throughput = rows["value"][names == "throughput"]
    return SimpleNamespace(
        epoch=number,
        components=_parts(rows, names),
        memory=memory,
        peak_host=most("peak_host_memory") or host,
        throughput=float(throughput.mean()) if len(throughput) else None,
    )


def _parts(rows: pd.DataFrame, names: "pd.Series[str]") -> dict[str, ComponentTime]:
    own = rows[names == "component_own_s"]
    if len(own):
        means = own.groupby(own["subject"].astype(str), sort=False)["value"].mean()
        return {str(name): ComponentTime(seconds, seconds, 1) for name, seconds in means.items()}
    whole = float(rows["value"][names == "round_s"].sum())
    found = {
        part: ComponentTime(seconds, seconds, 1)
        for metric, part in _PHASES.items()
        if (seconds := float(rows["value"][names == metric].sum()))
    }
    rest = max(whole - sum(one.seconds for one in found.values()), 0.0)
    return {**found, "other": ComponentTime(rest, rest, 1)} if found else {}
