"""The figures of resources: memory, times of components, throughput, memory against batch size, operations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metrics.resource_usage.batch_sweep import BatchMemory
from metrics.tracking.drawing import (
    PALETTE,
    from_zero,
    label_bars,
    legend_beside,
    line_colours,
    panels,
    short,
    whole_epochs,
)


def memory_usage(epochs: Sequence[Any]) -> Any:
    """Return memory over epochs: of the process, and of the GPU if there is one, at the end and at its highest."""
    lines = [
        ("host, peak", [one.peak_host for one in epochs], PALETTE[0], "-"),
        ("host, at the end", [one.memory.host for one in epochs], PALETTE[0], ":"),
        ("GPU tensors, peak", [one.memory.peak_allocated for one in epochs], PALETTE[1], "-"),
        ("GPU tensors, at the end", [one.memory.allocated for one in epochs], PALETTE[1], ":"),
        ("GPU reserved, peak", [one.memory.peak_reserved for one in epochs], PALETTE[2], "-"),
    ]
    figure, [[axes]] = panels(size=(6.4, 3.2))
    shown = [line for line in lines if any(value is not None for value in line[1])]
    for label, values, colour, style in shown:
        megabytes = [np.nan if value is None else value / 1e6 for value in values]
        axes.plot([one.epoch for one in epochs], megabytes, style, marker="o", ms=3, color=colour, label=label)
    from_zero(axes)
    axes.set_ylabel("memory (MB)")
    axes.set_title("Memory")
    whole_epochs(axes)
    legend_beside(axes, len(shown))
    return figure


def component_times(epochs: Sequence[Any]) -> Any:
    """Return a bar an epoch, the time of each component without those inside it stacked: it sums to the epoch."""
    names = _components(epochs)
    figure, [[axes]] = panels(size=(min(max(5.6, 0.3 * len(epochs) + 3), 14.0), 3.4))
    below = np.zeros(len(epochs))
    for name, colour in zip(names, _colours(names), strict=True):
        seconds = np.array([_own(one, name) for one in epochs])
        axes.bar([one.epoch for one in epochs], seconds, bottom=below, color=colour, label=short(name, 32), width=0.8)
        below += seconds
    whole_epochs(axes)
    axes.set_ylabel("seconds")
    axes.set_title("Time of components, each without those inside it")
    legend_beside(axes, len(names))
    return figure


def component_shares(epochs: Sequence[Any]) -> Any:
    """Return the share of each component in the time of all epochs."""
    names = _components(epochs)
    totals = {name: sum(_own(one, name) for one in epochs) for name in names}
    whole = sum(totals.values()) or 1.0
    figure, [[axes]] = panels(size=(5.6, 3.4))
    wedges, _ = axes.pie(list(totals.values()) if any(totals.values()) else [1.0] * len(names), colors=_colours(names),
                         startangle=90, counterclock=False, wedgeprops={"edgecolor": "white"})  # fmt: skip
    labels = [f"{short(name, 32)}: {total / whole:.1%}, {total:.3g} s" for name, total in totals.items()]
    axes.legend(wedges, labels, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.set_title(f"Share of time, {len(epochs)} epochs")
    return figure


def throughput(epochs: Sequence[Any]) -> Any:
    """Return examples a second over epochs; an epoch of which it is not known has a gap."""
    figure, [[axes]] = panels(size=(5.2, 3.0))
    values = [np.nan if one.throughput is None else one.throughput for one in epochs]
    axes.plot([one.epoch for one in epochs], values, marker="o", color=PALETTE[0])
    from_zero(axes)
    axes.set_ylabel("examples / second")
    axes.set_title("Throughput of training")
    whole_epochs(axes)
    return figure


def memory_by_batch_size(sweep: Sequence[BatchMemory]) -> Any:
    """Return peak memory against batch size with the line through it, and where the sweep stopped."""
    done = [one for one in sweep if one.peak_bytes is not None]
    figure, [[axes]] = panels(size=(5.4, 3.4))
    sizes = np.array([one.batch_size for one in done], float)
    peaks = np.array([one.peak_bytes for one in done], float) / 1e6
    axes.plot(sizes, peaks, "o", color=PALETTE[0], label="peak of a step")
    if len(done) > 1:
        slope, base = np.polyfit(sizes, peaks, 1)
        reach = np.array([0, sizes.max()])
        label = f"{base:.0f} MB + {slope:.3g} MB × batch size"
        axes.plot(reach, base + slope * reach, color=PALETTE[1], lw=1.1, label=label)
    for one in sweep:
        if one.peak_bytes is None:
            axes.axvline(one.batch_size, color="#888888", ls=":", label=f"{one.batch_size}: {one.reason}"[:60])
    axes.set_xlabel("batch size")
    axes.set_ylabel("peak memory (MB)")
    from_zero(axes)
    axes.set_title("Memory against batch size")
    axes.legend(loc="best")
    return figure


def flops_by_layer(flops: Mapping[str, float]) -> Any:
    """Return a bar a layer: operations of a forward pass of one example."""
    figure, [[axes]] = panels(size=(min(max(4.5, 0.3 * len(flops) + 1.5), 14.0), 3.4))
    axes.bar(range(len(flops)), [count / 1e6 for count in flops.values()], color=PALETTE[0])
    label_bars(axes, list(flops))
    axes.set_ylabel("million operations of a\nforward pass, one example")
    axes.set_title("Operations of each layer")
    return figure


def _components(epochs: Sequence[Any]) -> list[str]:
    names = list(dict.fromkeys(name for one in epochs for name in one.components if name != "other"))
    return [*names, "other"]


def _colours(names: Sequence[str]) -> list[Any]:
    return [*line_colours(len(names) - 1), "#bbbbbb"]


def _own(epoch: Any, name: str) -> float:
    return float(epoch.components[name].own_seconds) if name in epoch.components else 0.0
