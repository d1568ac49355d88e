"""The weights of the models that a run has kept, counted by layer."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of
from fedlayers.figures.training.dynamics import dynamics_figures
from fedlayers.opening.run import Run
from fedlayers.runs.file_names import SNAPSHOT, run_files, snapshot_of
from metrics.training_dynamics.gradients import figures
from metrics.training_dynamics.gradients.weight_histograms import WeightHistogram, histograms_of


def gradient_and_weight_figures(run: Run) -> dict[str, Callable[[], Any]]:
    """Return file name -> figure of gradients and weights; of the kept models where nobody counted weights."""
    found = dynamics_figures(run.tables)
    if "weight_distribution" not in found and (weights := kept_weights(run)):
        found["weight_distribution"] = partial(figures.weight_distributions, weights)
    return found


def kept_weights(run: Run) -> dict[int, dict[str, WeightHistogram]]:
    """Return round -> layer -> histogram of the server's models that are kept, round 0 as the seed drew them."""
    if not (run.folder / "config.yaml").is_file():
        return {}
    files = run_files(run.folder / "snapshots", SNAPSHOT)
    kept = {snapshot_of(file.path.name) for file in files if not file.unfinished}
    rounds = sorted(key[0] for key in kept if key is not None and key[1] == "server")
    try:
        network = run.network()
    except UserError:
        return {}
    layers, found = layers_of(network), {}
    for number in rounds:
        parameters: Mapping[str, Any] = run.weights(number)
        if all(name in parameters for layer in layers for name in layer.names):
            found[number] = histograms_of(parameters, layers)
    if found and 0 not in found and run.config.init is None:
        found = {0: histograms_of(dict[str, nn.Parameter](network.named_parameters()), layers), **found}
    return found
