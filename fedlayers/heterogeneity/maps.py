"""Where a client's two models look in its records: attribution maps of images, input by input of others."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of
from fedlayers.heterogeneity.two_models import TwoModels
from metrics.attributions.attention import tokens_reached
from metrics.attributions.grad_cam import KINDS as CAM_KINDS
from metrics.attributions.grad_cam import enlarged, grad_cam, scaled
from metrics.attributions.inputs import input_gradients, integrated_gradients

ATTENTION = "attention"
METHODS = (*CAM_KINDS, "input_gradients", "integrated_gradients", ATTENTION)

# Dimensions of a batch of images.
_IMAGES = 4


@dataclass(frozen=True)
class TwoMaps:
    """Maps of the same records by both models, each divided by its largest absolute value.

    Attributes:
        local: of the stand-alone model, shape (n, *places).
        federated: of the federated one.
        layer: the layer whose feature maps were looked at; empty for the input.
    """

    local: np.ndarray
    federated: np.ndarray
    layer: str

    @property
    def difference(self) -> np.ndarray:
        """Stand-alone minus federated, in [-2, 2]."""
        found: np.ndarray = self.local - self.federated
        return found


def two_maps(
    two: TwoModels,
    examples: Sequence[int],
    method: str = "grad_cam",
    layer: str | None = None,
    label: int | None = None,
) -> TwoMaps:
    """Return where both models look for a class in some records.

    Args:
        two: the models.
        examples: the numbers of the records.
        method: one of ``METHODS``; the first three look at a convolutional layer, and come at the size of the image;
            ``attention`` is how much of each token or patch reaches the end, whatever the class, over all layers.
        layer: that layer's name; None for the last convolutional one.
        label: the class; None for the one that each model predicts.

    Raises:
        UserError: there is no such record, method, layer or class, or the model does not go with the method.
    """
    if method not in METHODS:
        raise UserError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    two.records.raw(examples)
    inputs = two.records.features[list(examples)]
    looked = _layer(two.federated, layer) if method in CAM_KINDS else ""
    try:
        local, federated = (_map(model, inputs, method, looked, label) for model in (two.local, two.federated))
    except ValueError as error:
        raise UserError(str(error)) from None
    return TwoMaps(local.double().numpy(), federated.double().numpy(), looked)


def _map(model: nn.Module, inputs: Tensor, method: str, layer: str, label: int | None) -> Tensor:
    if method == ATTENTION:
        found = _attention(model, inputs)
    elif method in CAM_KINDS:
        found = grad_cam(model, model.get_submodule(layer), inputs, label, method)
        if inputs.ndim == 4:
            found = enlarged(found, (inputs.shape[-2], inputs.shape[-1]))
    else:
        found = {"input_gradients": input_gradients}.get(method, integrated_gradients)(model, inputs, label)
        found = found.mean(1) if inputs.ndim == 4 else found
    return scaled(torch.as_tensor(found).detach())


def _attention(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return what reaches the end of each token, shape (n, tokens), or of each pixel's patch, the size of the image."""
    if not any(isinstance(part, nn.MultiheadAttention) for part in model.modules()):
        raise UserError("the model has no layer of attention: choose another method")
    found = tokens_reached(model, inputs)
    if inputs.ndim != _IMAGES:
        return found
    side = math.isqrt(found.shape[1])
    if side * side != found.shape[1]:
        raise UserError(f"attention is drawn over patches in a square, got {found.shape[1]}: choose another method")
    return enlarged(found.reshape(-1, side, side), (inputs.shape[-2], inputs.shape[-1]))


def _layer(model: nn.Module, layer: str | None) -> str:
    known = [one.name for one in layers_of(model) if one.kind == "conv"]
    if not known:
        raise UserError("the model has no convolutional layer: choose method=input_gradients or integrated_gradients")
    if layer is not None and layer not in known:
        raise UserError(f"layer must be one of {', '.join(known)}, got {layer!r}")
    return layer or known[-1]
