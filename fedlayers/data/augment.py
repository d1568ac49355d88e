"""Random changes to training images that keep what they show: crop, flip and rotation."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from fedlayers.core.checks import check
from fedlayers.core.errors import UserError

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


def make_augmentation(names: Sequence[str]) -> Augmentation | None:
    """Return a function that changes every image of a batch by its own random draw; None without names.

    - ``crop``: moved by up to min(4, h // 7) pixels, at least 1, in each direction; the edge is repeated.
    - ``flip``: left and right swapped with probability 1/2.
    - ``rotation``: turned by up to 10 degrees about the centre, bilinear; the edge is repeated.

    The edge is repeated rather than filled with 0, because 0 is grey once images are normalised.

    Args:
        names: some of ``crop``, ``flip``, ``rotation``, applied in this order.

    Returns:
        A function of a float batch (b, c, h, w) and the generator that is drawn from (on any device; nothing else is),
        to a new batch of the same shape. It raises UserError if the batch is not one of images.

    Raises:
        UserError: if a name is none of the three.
    """
    steps = {"crop": _crop, "flip": _flip, "rotation": _rotate}
    for name in names:
        check(name in steps, "training.augment", "some of " + ", ".join(steps), name)
    chosen = [steps[name] for name in names]
    if not chosen:
        return None

    def augment(images: Tensor, generator: torch.Generator) -> Tensor:
        if images.ndim != 4:
            shape = tuple(images.shape[1:])
            raise UserError(
                f"training.augment must be [] unless examples are images (c, h, w), got examples of shape {shape}"
            )
        for step in chosen:
            images = step(images, generator)
        return images

    return augment


def _uniform(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return one number in [0, 1) per image, on the images' device, shape (b,)."""
    return torch.rand(len(images), generator=generator, device=generator.device).to(images.device, non_blocking=True)


def _crop(images: Tensor, generator: torch.Generator) -> Tensor:
    height, width = images.shape[2:]
    rows = _shifted(images, height, max(1, min(4, height // 7)), generator)  # (b, h)
    columns = _shifted(images, width, max(1, min(4, height // 7)), generator)  # (b, w)
    moved = images.gather(2, rows[:, None, :, None].expand(images.shape))
    return moved.gather(3, columns[:, None, None, :].expand(images.shape))


def _shifted(images: Tensor, size: int, reach: int, generator: torch.Generator) -> Tensor:
    """Return for every image which pixels to take along one side, shape (b, size)."""
    shift = (_uniform(images, generator) * (2 * reach + 1)).long() - reach
    return (torch.arange(size, device=images.device) + shift[:, None]).clamp_(0, size - 1)


def _flip(images: Tensor, generator: torch.Generator) -> Tensor:
    chosen = _uniform(images, generator) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def _rotate(images: Tensor, generator: torch.Generator) -> Tensor:
    angle = (_uniform(images, generator) * 2 - 1) * math.radians(10)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    aspect = images.shape[2] / images.shape[3]  # grid coordinates run from -1 to 1 along either side
    theta = torch.stack([cos, -sin * aspect, zero, sin / aspect, cos, zero], 1).reshape(-1, 2, 3)
    grid = F.affine_grid(theta.to(images.dtype), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
