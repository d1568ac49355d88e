"""Draws long_tail.png and prints its table: what four objectives give frequent and rare classes.

Run it as ``python docs/images/long_tail.py results/long_tail``, when ``+experiment=long_tail`` is done.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from scipy.stats import t

import fedlayers
from metrics.class_performance import percentile_tiers
from metrics.tracking.drawing import TIER_COLOURS, look

OBJECTIVES = ("cross_entropy", "class_weights", "focal", "balanced_softmax")
SCORES = {"class_f1": "F1", "class_recall": "recall", "class_precision": "precision", "class_ap": "average precision"}
TIERS = ("head", "medium", "tail")


def by_tier(study: Path) -> pd.DataFrame:
    """Return metric, objective, seed, tier and the mean over the tier's classes, on the server's balanced test set.

    Tiers are thirds of the classes by all clients' training examples (33rd and 67th percentile).
    """
    found = []
    for folder in sorted(path for path in study.iterdir() if (path / "run.json").is_file()):
        run = fedlayers.open(folder)
        held = run.partition[run.partition["scope"] == "client_train"]
        counts = held.groupby(held["label_name"].astype(str))["examples"].sum()
        tiers = percentile_tiers({str(name): float(count) for name, count in counts.items()})
        rows = run.records(metric=list(SCORES), owner="server", moment="final")
        rows = rows[rows["scope"] == "server_test"]
        means = rows.groupby([rows["metric"].astype(str), rows["subject"].astype(str).map(tiers)])["value"].mean()
        frame = means.rename_axis(["metric", "tier"]).reset_index()
        found.append(frame.assign(objective=run.facts["objective"], seed=run.facts["seed"]))
    return pd.concat(found)


def interval(values: "pd.Series[float]") -> tuple[float, float]:
    """Return mean over seeds and half of its 95 % interval (Student's t)."""
    return float(values.mean()), float(t.ppf(0.975, len(values) - 1) * values.sem())


def main(study: Path) -> None:
    """Print the table and draw the figure."""
    rows = by_tier(study)
    with look():
        figure, axes = plt.subplots(1, len(SCORES), figsize=(10, 3.1), sharey=True, layout="constrained")
        for panel, (metric, name) in zip(axes, SCORES.items(), strict=True):
            for place, tier in enumerate(TIERS):
                own = rows[(rows["metric"] == metric) & (rows["tier"] == tier)]
                found = [interval(own[own["objective"] == objective]["value"]) for objective in OBJECTIVES]
                means, halves = zip(*((100 * mean, 100 * half) for mean, half in found), strict=True)
                at = [number + 0.2 * (place - 1) for number in range(len(OBJECTIVES))]
                panel.errorbar(at, means, halves, fmt="o", ms=4, capsize=3, color=TIER_COLOURS[tier], label=tier)
                told = " | ".join(f"{mean:.1f} ± {half:.1f}" for mean, half in zip(means, halves, strict=True))
                print(f"| {name} | {tier} | {told} |")
            panel.set_xticks(range(len(OBJECTIVES)), [name.replace("_", "\n") for name in OBJECTIVES])
            panel.set_title(f"{name} (%)")
        figure.legend(*axes[0].get_legend_handles_labels(), title="tier", loc="outside right upper")
        figure.savefig(Path(__file__).with_name("long_tail.png"), dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
