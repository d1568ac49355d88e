"""The figures of class performance: who is frequent, how each tier is recognised, precision against recall."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from metrics.class_performance.scores import RECALLS, ClassResult, TierResult
from metrics.class_performance.tiers import TIERS, UNKNOWN
from metrics.tracking.drawing import TIER_COLOURS, label_bars, legend_beside, panels

_NAMES = {"f1": "F1", "precision": "precision", "recall": "recall", "ap": "average precision"}


def class_distribution(group: str, counts: Mapping[str, float], tiers: Mapping[str, str]) -> Any:
    """Return bars of the classes by number of training examples, the most frequent first, coloured by tier."""
    names = sorted(counts, key=lambda name: -counts[name])
    figure, [[axes]] = panels(size=(min(max(4.0, 0.18 * len(names) + 1.5), 16.0), 3.4))
    colours = [TIER_COLOURS[tiers.get(name, UNKNOWN)] for name in names]
    axes.bar(range(len(names)), [counts[name] for name in names], color=colours, width=0.8)
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.7)
    axes.set_ylabel("training examples")
    axes.set_title(f"{group}: class distribution")
    label_bars(axes, names)
    _tier_legend(axes, {tier: sum(tiers.get(name, UNKNOWN) == tier for name in names) for tier in TIER_COLOURS})
    return figure


def scores_by_tier(
    group: str, classes: Mapping[str, ClassResult], means: Mapping[str, TierResult], tiers: Mapping[str, str]
) -> Any:
    """Return F1, precision, recall and average precision in percent: a bar a tier, a dot a class that has the score."""
    figure, axes = panels(1, len(_NAMES), size=(2.5, 3.2), sharey=True)
    for panel, (score, name) in zip(axes[0], _NAMES.items(), strict=True):
        _bars(panel, score, classes, means, tiers)
        panel.set_title(name)
    axes[0][0].set_ylabel("%")
    axes[0][0].set_ylim(0, 112)
    axes[0][0].set_yticks(range(0, 101, 20))
    numbers = ", ".join(f"{tier} {mean.present} of {mean.count}" for tier, mean in means.items())
    figure.suptitle(f"{group}: mean over classes by tier (dots: classes; with examples: {numbers})")
    return figure


def _bars(
    axes: Any, score: str, classes: Mapping[str, ClassResult], means: Mapping[str, TierResult], tiers: Mapping[str, str]
) -> None:
    for place, (tier, mean) in enumerate(means.items()):
        value = 100 * getattr(mean, score)
        axes.bar(place, value, color=TIER_COLOURS[tier], alpha=0.55, width=0.7)
        of_tier = [100 * getattr(one, score) for name, one in classes.items() if tiers.get(name, UNKNOWN) == tier]
        dots = np.array([one for one in of_tier if np.isfinite(one)])
        beside = place + np.linspace(-0.22, 0.22, len(dots)) if len(dots) > 1 else np.full(len(dots), float(place))
        axes.plot(beside, dots, "o", ms=3.5, color=TIER_COLOURS[tier], mec="white", mew=0.5)
        text = f"{value:.1f}" if np.isfinite(value) else "none"
        axes.text(place, 103, text, ha="center", va="bottom", fontsize=8)
    axes.set_xticks(range(len(means)), list(means))
    axes.grid(visible=False, axis="x")


def curves_by_tier(
    group: str, classes: Mapping[str, ClassResult], means: Mapping[str, TierResult], tiers: Mapping[str, str]
) -> Any:
    """Return precision against recall, a panel a tier: every class thin, their mean thick."""
    shown = {tier: mean for tier, mean in means.items() if mean.present} or dict(means)
    figure, axes = panels(1, len(shown), size=(3.0, 3.0), sharey=True, sharex=True)
    for panel, (tier, mean) in zip(axes[0], shown.items(), strict=True):
        for name, one in classes.items():
            if tiers.get(name, UNKNOWN) == tier and one.support:
                panel.plot(RECALLS, one.curve, color=TIER_COLOURS[tier], alpha=0.3, lw=0.8)
        panel.plot(RECALLS, mean.curve, color=TIER_COLOURS[tier], lw=2.2)
        panel.set_title(f"{tier}: mean AP {mean.ap:.2f}, {mean.present} of {mean.count}")
        panel.set_xlabel("recall")
        panel.set_xlim(0, 1)
        panel.set_ylim(0, 1.03)
    axes[0][0].set_ylabel("precision")
    figure.suptitle(f"{group}: precision against recall by tier (thick: mean over classes)")
    return figure


def _tier_legend(axes: Any, counts: Mapping[str, int]) -> None:
    for tier in (*TIERS, UNKNOWN):
        if counts[tier]:
            axes.bar(0, 0, color=TIER_COLOURS[tier], label=f"{tier}: {counts[tier]} classes")
    legend_beside(axes, len(TIERS))
