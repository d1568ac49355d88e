"""Which places of a layer's feature maps speak for a class: Grad-CAM and its kin."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metrics.attributions.targets import class_logits, explained

CamKind = Literal["grad_cam", "hires_cam", "elementwise"]
KINDS: tuple[CamKind, ...] = get_args(CamKind)


def grad_cam(
    module: nn.Module,
    layer: nn.Module,
    inputs: Tensor,
    classes: Tensor | int | None = None,
    kind: CamKind = "grad_cam",
    rectified: bool = True,
) -> Tensor:
    """Return how much each place of a layer's feature maps speaks for a class.

    With A_k the layer's feature maps and G_k = ∂ logit / ∂A_k:

    - ``grad_cam``: Σ_k (mean of G_k over the places) A_k, Selvaraju et al. 2017;
    - ``hires_cam``: Σ_k G_k ⊙ A_k, Draelos & Carin 2020: sums to the logit where all after the layer is linear;
    - ``elementwise``: Σ_k relu(G_k ⊙ A_k), the variant that HetVis calls Grad-CAM (there of the loss).

    The model is in evaluation mode meanwhile; nothing of it is changed, and no hook stays behind.

    Args:
        module: gives logits (n, C) for the inputs.
        layer: one of its parts, which puts out feature maps (n, K, *places), such as a convolution; used once a pass.
        inputs: shape (n, …).
        classes: one for each record, shape (n,), one for all, or None for those that the model predicts.
        kind: see above.
        rectified: whether what speaks against the class counts as 0, as in the paper.

    Returns:
        A map for each record, shape (n, *places): that of the layer. :func:`enlarged` brings it to the input's size.

    Raises:
        ValueError: the kind is unknown, the layer is not used, puts out no maps or leads to no logit, or the class does
            not exist.

    References:
        Selvaraju et al. 2017, Grad-CAM, arXiv 1610.02391; Draelos & Carin 2020, HiResCAM, arXiv 2011.08891; Wang et al.
        2022, HetVis, arXiv 2208.07491.

    Examples:
        >>> import torch
        >>> convolution = nn.Conv2d(1, 1, 1, bias=False)
        >>> torch.nn.init.ones_(convolution.weight).shape
        torch.Size([1, 1, 1, 1])
        >>> model = nn.Sequential(convolution, nn.Flatten(), nn.Linear(4, 2, bias=False))
        >>> torch.nn.init.ones_(model[2].weight).shape
        torch.Size([2, 4])
        >>> grad_cam(model, convolution, torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 0).tolist()
        [[[1.0, 2.0], [3.0, 4.0]]]
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    with explained(module), _heard(layer) as heard:
        logits = class_logits(module(inputs), classes)
        if len(heard) != 1:
            raise ValueError(f"layer must be used once in a pass of the model, got {len(heard)} times")
        maps = heard[0]
        if maps.ndim < 3:
            raise ValueError(f"layer must put out feature maps (n, channels, places), got {tuple(maps.shape)}")
        slopes = torch.autograd.grad(logits.sum(), maps, allow_unused=True)[0] if logits.requires_grad else None
        if slopes is None:
            raise ValueError("layer must lead to the logits, got one that nothing of them depends on")
    return _combined(maps.detach(), slopes, kind, rectified)


def _combined(maps: Tensor, slopes: Tensor, kind: CamKind, rectified: bool) -> Tensor:
    if kind == "grad_cam":
        slopes = slopes.mean(tuple(range(2, slopes.ndim)), keepdim=True)
    parts = maps * slopes
    found = (parts.relu() if kind == "elementwise" else parts).sum(1)
    return found.relu() if rectified else found


@contextmanager
def _heard(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a layer puts out, as something that gradients can be taken of."""
    heard: list[Tensor] = []

    def listen(_: nn.Module, __: Any, output: Any) -> Any:
        first = output[0] if isinstance(output, tuple) else output
        if not first.requires_grad:
            first.requires_grad_(True)
        # What comes after may write to its input in place, as ReLU(inplace=True) does.
        heard.append(first)
        own = first.clone()
        return (own, *output[1:]) if isinstance(output, tuple) else own

    handle = layer.register_forward_hook(listen)
    try:
        yield heard
    finally:
        handle.remove()


def enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return maps at the size of the images, bilinear in between.

    Args:
        maps: shape (n, height, width).
        size: height and width wanted.

    Examples:
        >>> import torch
        >>> enlarged(torch.tensor([[[0.0, 1.0]]]), (1, 4)).tolist()
        [[[0.0, 0.25, 0.75, 1.0]]]
    """
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def scaled(maps: Tensor) -> Tensor:
    """Return each map divided by its largest absolute value, as it is if that is 0.

    Args:
        maps: shape (n, …).

    Examples:
        >>> import torch
        >>> scaled(torch.tensor([[1.0, -4.0], [0.0, 0.0]])).tolist()
        [[0.25, -1.0], [0.0, 0.0]]
    """
    largest = maps.flatten(1).abs().amax(1).reshape(-1, *[1] * (maps.ndim - 1))
    return maps / torch.where(largest > 0, largest, torch.ones_like(largest))
