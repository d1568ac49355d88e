"""The figures of gradients and weights: flow over epochs, size over depth, distributions, norms, size of updates."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from metrics.tracking.drawing import PALETTE, legend_beside, line_colours, panels, short, whole_epochs
from metrics.training_dynamics.gradients.epoch_statistics import LayerEpoch
from metrics.training_dynamics.gradients.weight_histograms import WeightHistogram

History = Mapping[int, Mapping[str, LayerEpoch]]
Weights = Mapping[int, Mapping[str, WeightHistogram]]
_MOST_LINES = 20
_MOST_HISTOGRAMS = 6


def gradient_flow(history: History, band: str = "lowest to highest step of an epoch") -> Any:
    """Return the mean norm of each layer's gradient over epochs, and as a band what ``band`` says in words."""
    figure = _curves(
        history,
        lambda one: one.norm.mean if one.norm.n else np.nan,
        "‖gradient‖, mean over steps",
        "Gradient flow",
        band=lambda one: (one.norm.low, one.norm.high) if one.norm.n else (np.nan, np.nan),
    )
    [axes] = figure.axes
    if axes.collections:
        axes.set_title(f"{axes.get_title()}\nband: {band}")
    return figure


def update_ratios(history: History) -> Any:
    """Return ‖Δw‖ / ‖w‖ of single steps over epochs; about 0.001 is usual."""
    figure = _curves(
        history,
        lambda one: one.update_ratio.mean if one.update_ratio.n else np.nan,
        "‖update‖ / ‖weights‖ of a step",
        "Size of updates",
    )
    figure.axes[0].axhline(1e-3, color="#888888", lw=0.9, ls=":")
    return figure


def weight_norms(weights: Weights) -> Any:
    """Return the norm of each layer's weights over epochs; epoch 0 is before training."""
    return _curves(weights, lambda one: one.norm, "‖weights‖", "Weight norms (0: before training)")


def _curves(
    history: Mapping[int, Mapping[str, Any]],
    value: Callable[[Any], float],
    label: str,
    title: str,
    band: Callable[[Any], tuple[float, float]] | None = None,
) -> Any:
    epochs = sorted(history)
    names = list(dict.fromkeys(name for layers in history.values() for name in layers))
    # Evenly over the depth where there are too many to tell apart.
    if len(names) > _MOST_LINES:
        title += f" ({_MOST_LINES} of {len(names)} layers)"
        names = [names[place] for place in np.linspace(0, len(names) - 1, _MOST_LINES).round().astype(int)]
    figure, [[axes]] = panels(size=(7.2, 3.8))
    for name, colour in zip(names, line_colours(len(names)), strict=True):
        there = [epoch for epoch in epochs if name in history[epoch]]
        values = [value(history[epoch][name]) for epoch in there]
        axes.plot(there, values, marker="o", ms=3, color=colour, label=short(name))
        if band is not None and len(names) <= len(PALETTE):
            low, high = np.array([band(history[epoch][name]) for epoch in there]).T
            axes.fill_between(there, low, high, color=colour, alpha=0.12, lw=0)
    _logarithmic(axes)
    whole_epochs(axes)
    axes.set_ylabel(label)
    axes.set_title(title)
    legend_beside(axes, len(names))
    return figure


def _logarithmic(axes: Any) -> None:
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines] or [np.array([])])
    if (values > 0).any():
        axes.set_yscale("log")


def gradient_by_depth(history: History) -> Any:
    """Return the root mean square of each layer's gradient in the last epoch against its place in the model."""
    epoch = max(history)
    layers = history[epoch]
    values = [one.rms.mean if one.rms.n else np.nan for one in layers.values()]
    figure, [[axes]] = panels(size=(min(max(4.2, 0.3 * len(layers) + 1.5), 14.0), 3.8))
    axes.plot(range(len(layers)), values, "o-", color=PALETTE[0])
    _logarithmic(axes)
    step = -(-len(layers) // 40)
    names = [short(name) for name in layers]
    axes.set_xticks(range(0, len(layers), step), names[::step], rotation=90 if len(names) > 4 else 0)
    axes.set_ylabel("root mean square\nof the gradient's entries")
    axes.set_xlabel("layer, in the model's order")
    axes.set_title(f"Gradient over depth, epoch {epoch}")
    return figure


def weight_distributions(weights: Weights) -> Any:
    """Return histograms of the weights before, in the middle of and after training, a panel a layer."""
    epochs = sorted(weights)
    when = list(dict.fromkeys((epochs[0], epochs[len(epochs) // 2], epochs[-1])))
    names = _largest(weights[epochs[-1]])
    figure, axes = panels(-(-len(names) // 3), min(3, len(names)), size=(3.3, 2.4))
    for panel, name in zip(axes.flat, names, strict=False):
        for epoch, colour in zip(when, PALETTE, strict=False):
            # It may have come to the model, or begun to train, later.
            if (one := weights[epoch].get(name)) is None:
                continue
            density = one.counts / max(one.counts.sum(), 1) / np.diff(one.edges)
            panel.stairs(density, one.edges, color=colour, label=_time(epoch, epochs), lw=1.3)
        panel.set_title(short(name, 30))
    for panel in axes.flat[len(names) :]:
        panel.set_axis_off()
    for panel in axes[:, 0]:
        panel.set_ylabel("density")
    for panel in axes[-1]:
        panel.set_xlabel("weight")
    pairs = [pair for panel in axes.flat for pair in zip(*panel.get_legend_handles_labels(), strict=True)]
    handles = {label: handle for handle, label in pairs}
    labels = [label for epoch in when if (label := _time(epoch, epochs)) in handles]
    figure.legend([handles[label] for label in labels], labels, loc="outside right upper")
    note = "" if len(names) == len(weights[epochs[-1]]) else f" ({len(names)} largest layers)"
    figure.suptitle(f"Weight distributions{note}")
    return figure


def _largest(layers: Mapping[str, WeightHistogram]) -> Sequence[str]:
    chosen = sorted(layers, key=lambda name: -int(layers[name].counts.sum()))[:_MOST_HISTOGRAMS]
    return [name for name in layers if name in chosen]


def _time(epoch: int, epochs: Sequence[int]) -> str:
    return "before training" if epoch == epochs[0] == 0 else f"epoch {epoch}"
