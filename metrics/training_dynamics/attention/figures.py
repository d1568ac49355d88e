"""The figures of attention: one map, all heads, the map over training, statistics of heads, rollout."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from metrics.tracking.drawing import line_colours, panels, short, whole_epochs

_MOST_HEADS = 8
_MOST_TIMES = 5
_NAMES = {
    "entropy": "row entropy (nat)",
    "span": "effective span (places)",
    "distance": "mean distance (places)",
    "peak": "largest weight of a row",
}


def single_map(layer: str, epoch: int, maps: np.ndarray) -> Any:
    """Return the mean over heads of one layer's map of one example."""
    figure, [[axes]] = panels(size=(4.6, 3.9))
    image = _map(axes, np.nanmean(maps, axis=0))
    axes.set_ylabel("query")
    axes.set_title(f"{short(layer, 30)}, epoch {epoch}\nmean of {len(maps)} heads, one example")
    figure.colorbar(image, ax=axes, label="attention weight")
    return figure


def heads(layer: str, epoch: int, maps: np.ndarray) -> Any:
    """Return the maps of up to eight heads of one layer on one colour scale."""
    shown = maps[:_MOST_HEADS]
    columns = min(4, len(shown))
    figure, axes = panels(-(-len(shown) // columns), columns, size=(2.4, 2.4))
    top = float(np.nanmax(shown, initial=0.0)) or 1.0
    image = None
    for head, (panel, weights) in enumerate(zip(axes.flat, shown, strict=False)):
        image = _map(panel, weights, top)
        panel.set_title(f"head {head}")
    for panel in axes.flat[len(shown) :]:
        panel.set_axis_off()
    for panel in axes[:, 0]:
        panel.set_ylabel("query")
    figure.colorbar(image, ax=axes, label="attention weight")
    note = "" if len(shown) == len(maps) else f" (first {len(shown)} of {len(maps)} heads)"
    figure.suptitle(f"{short(layer, 40)}, epoch {epoch}{note}")
    return figure


def evolution(layer: str, maps: Mapping[int, np.ndarray]) -> Any:
    """Return the mean over heads of one layer's map at up to five times of the training."""
    epochs = sorted(maps)
    places = np.unique(np.linspace(0, len(epochs) - 1, min(_MOST_TIMES, len(epochs))).round().astype(int))
    shown = [epochs[place] for place in places]
    figure, axes = panels(1, len(shown), size=(2.5, 2.7))
    means = [np.nanmean(maps[epoch], axis=0) for epoch in shown]
    top = max(float(np.nanmax(mean, initial=0.0)) for mean in means) or 1.0
    image = None
    for panel, epoch, mean in zip(axes[0], shown, means, strict=True):
        image = _map(panel, mean, top)
        panel.set_title(f"epoch {epoch}")
    axes[0][0].set_ylabel("query")
    figure.colorbar(image, ax=axes, label="attention weight")
    figure.suptitle(f"{short(layer, 40)}: mean of heads over training")
    return figure


def rollout_map(epoch: int, together: np.ndarray) -> Any:
    """Return how much of each input place reaches each output place over all layers, of one example."""
    figure, [[axes]] = panels(size=(4.6, 3.9))
    image = _map(axes, together)
    axes.set_xlabel("input place")
    axes.set_ylabel("output place")
    axes.set_title(f"Attention rollout over all layers\nepoch {epoch}, one example")
    figure.colorbar(image, ax=axes, label="share")
    return figure


def statistics(history: Mapping[int, Mapping[str, Any]]) -> Any:
    """Return entropy, span, distance and peak over epochs: a line a layer, and a band over its heads."""
    epochs = sorted(history)
    layers = list(dict.fromkeys(layer for seen in history.values() for layer in seen))
    figure, axes = panels(2, 2, size=(4.2, 2.7), sharex=True)
    for panel, (quantity, label) in zip(axes.flat, _NAMES.items(), strict=True):
        for layer, colour in zip(layers, line_colours(len(layers)), strict=True):
            there = [epoch for epoch in epochs if layer in history[epoch]]
            values = np.array([history[epoch][layer].mean(quantity) for epoch in there])
            if not np.isfinite(values).all():
                continue
            panel.plot(there, values.mean(1), marker="o", ms=3, color=colour, label=short(layer))
            panel.fill_between(there, values.min(1), values.max(1), color=colour, alpha=0.15, lw=0)
        panel.set_ylabel(label)
        whole_epochs(panel)
    axes[0][1].set_xlabel("")
    axes[0][0].set_xlabel("")
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", fontsize=7)
    figure.suptitle("Attention of each layer (band: its heads)")
    return figure


def _map(axes: Any, weights: np.ndarray, top: float | None = None) -> Any:
    image = axes.imshow(np.ma.masked_invalid(weights), cmap="viridis", vmin=0.0, vmax=top, interpolation="nearest")
    axes.set_facecolor("#dddddd")
    axes.grid(visible=False)
    axes.set_xlabel("key")
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True)
    return image
