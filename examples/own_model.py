"""A model and data of one's own.

Sine waves of two frequencies, recorded at three places, and a small convolutional network. Each place is a client.
Both classes are named by module and name, so that `python -m fedlayers` finds them, too, from the folder of this file.
"""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

import fedlayers
from fedlayers.data.source import Arrays, DatasetFacts


class Waves:
    """600 noisy waves of 32 points: slow or fast, from three places whose noise differs."""

    def files(self, root: Path) -> Sequence[Path]:
        """Return the files that `read` opens: none."""
        return ()

    def read(self, root: Path) -> Arrays:
        """Return all waves, shape (600, 32), their classes, and where they were recorded."""
        generator = np.random.default_rng(0)
        labels, places = np.arange(600) % 2, np.arange(600) % 3
        time, phase = np.linspace(0, 1, 32), generator.uniform(0, 2 * np.pi, (600, 1))
        waves = np.sin(2 * np.pi * (2 + 2 * labels[:, None]) * time + phase)
        noise = generator.normal(0, 1, waves.shape) * (0.4 + 0.4 * places[:, None])
        facts = DatasetFacts(classes=("slow", "fast"), group_names=("quiet", "noisy", "loud"))
        return Arrays(waves + noise, labels, facts, groups=places)


class WaveNet(nn.Sequential):
    """A convolution over time and a linear layer; tables and figures call layers by these names."""

    def __init__(self, num_classes: int, channels: int = 8) -> None:
        super().__init__(
            OrderedDict(
                channel=nn.Unflatten(1, (1, 32)),
                conv=nn.Conv1d(1, channels, kernel_size=9),
                relu=nn.ReLU(),
                pool=nn.AdaptiveMaxPool1d(4),
                flatten=nn.Flatten(),
                fc=nn.Linear(4 * channels, num_classes),
            )
        )


if __name__ == "__main__":
    tables = fedlayers.run(
        ["model=custom", "model._target_=own_model.WaveNet", "+model.channels=16"],
        dataset={"_target_": "own_model.Waves", "name": "waves"},
        partition="natural",
        study="own_model",
        rounds=4,
        metrics=["evaluation", "weights"],
        figures=False,
    )
    records = tables.records
    final = records[(records["metric"] == "accuracy") & (records["moment"] == "final")]
    print(final[["client", "scope", "value", "stderr", "chance"]].round(3).to_string(index=False))
    layers = records[records["layer"].notna() & (records["metric"] == "update_norm")]
    print(layers.groupby(["layer", "round"], observed=True)["value"].mean().unstack("round").round(3).to_string())
