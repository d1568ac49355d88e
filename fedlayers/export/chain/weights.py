"""The weights of a model under the names that the chain of metric predictors gives them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

_LAYER = re.compile(r"fc(\d+)\.(weight|bias)")
_SKIP = re.compile(r"fc(\d+)\.skip\.(weight)")


def in_their_names(weights: Mapping[str, Tensor], told: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the same weights; a model that the original does not have keeps its names.

    Args:
        weights: ours, by name.
        told: what :func:`fedlayers.export.chain.parameters.parameters` says of the model.
    """
    names = {"mlp": _of_mlp, "greedy": _of_greedy}.get(told["model"])
    if names is None or "layers" not in told:
        return dict(weights)
    return {theirs: tensor for ours, tensor in weights.items() for theirs in names(ours, told["layers"])}


def _of_mlp(name: str, layers: int) -> Iterator[str]:
    """Yield the name in ``backbone``, whose every second part is a ReLU, or in ``head``."""
    if found := _LAYER.fullmatch(name):
        place = int(found[1]) - 1
        yield f"head.{found[2]}" if place == layers else f"backbone.{2 * place}.{found[2]}"


def _of_greedy(name: str, layers: int) -> Iterator[str]:
    """Yield both names of a layer, which the original holds twice; its anchors are no part of the model."""
    if found := _LAYER.fullmatch(name):
        place = int(found[1]) - 1
        yield f"net.{2 * place}.{found[2]}"
        yield f"linears.{place}.{found[2]}"
    elif found := _SKIP.fullmatch(name):
        yield f"residuals.{int(found[1]) - 1}.{found[2]}"
