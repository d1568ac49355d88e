"""A small vision transformer: images as sequences of patches."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedlayers.core.checks import check
from fedlayers.models.images import image_shape


class Patches(nn.Module):
    """A linear function of the pixels of every patch, plus its place.

    Args:
        colours: channels of an image.
        width: of the sequence.
        side: pixels of a patch's side.
        count: patches of an image.
    """

    def __init__(self, colours: int, width: int, side: int, count: int) -> None:
        super().__init__()
        self.pixels = nn.Conv2d(colours, width, side, stride=side)
        self.places = nn.Embedding(count, width)

    def forward(self, images: Tensor) -> Tensor:
        """Return the patches (n, width, positions) of images (n, channels, height, width)."""
        x = self.pixels(images).flatten(2)
        places = torch.arange(x.shape[2], device=x.device).expand(len(x), -1)
        found: Tensor = x + self.places(places).transpose(1, 2)
        return found


class AttentionBlock(nn.Module):
    """x + attention(norm(x)), then x + W₂ gelu(W₁ norm(x)); ``attention`` is torch's own.

    Args:
        width: of the sequence.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, sequence: Tensor) -> Tensor:
        """Return the sequence (n, width, positions) after the block."""
        x = sequence.transpose(1, 2)
        given = self.norm1(x)
        x = x + self.attention(given, given, given, need_weights=False)[0]
        hidden: Tensor = self.fc2(nn.functional.gelu(self.fc1(self.norm2(x))))
        return torch.add(x, hidden).transpose(1, 2)


class MeanOfPatches(nn.Module):
    """The mean over positions of a sequence whose every position is normalised first.

    Args:
        width: of the sequence.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, sequence: Tensor) -> Tensor:
        """Return (n, width) of a sequence (n, width, positions)."""
        normalised: Tensor = self.norm(sequence.transpose(1, 2))
        return normalised.mean(1)


class VisionTransformer(nn.Module):
    """Patches, each a linear function of its pixels plus its place, blocks of attention, and their mean's logits.

    The mean over patches in the place of a class token, as in Zhai et al. 2022: no layer is without an output.

    Args:
        input_shape: one image's shape (channels, height, width), both sides multiples of ``patch``.
        num_classes: the number of outputs, one logit each.
        patch: pixels of a patch's side.
        width: of the sequence, a multiple of ``heads``.
        heads: of each attention.
        blocks: their number, 1 or more.

    Raises:
        UserError: examples are no images of whole patches, or the widths do not fit.

    References:
        Dosovitskiy et al. 2021, An Image is Worth 16x16 Words, ICLR, arXiv 2010.11929; Zhai, Kolesnikov, Houlsby &
        Beyer 2022, Scaling Vision Transformers, CVPR, arXiv 2106.04560.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        patch: int = 4,
        width: int = 32,
        heads: int = 2,
        blocks: int = 2,
    ) -> None:
        super().__init__()
        check(patch >= 1, "model.patch", "1 or more", patch)
        colours, height, side = image_shape(input_shape, "vision_transformer", smallest=patch)
        whole = height % patch == side % patch == 0
        check(whole, "model.patch", f"a divisor of both sides of the images, {height} and {side} pixels", patch)
        check(
            heads >= 1 and width > 0 and width % heads == 0, "model.width", f"a multiple of model.heads={heads}", width
        )
        check(blocks >= 1, "model.blocks", "1 or more", blocks)
        self.patches = Patches(colours, width, patch, height // patch * (side // patch))
        self.blocks = nn.ModuleList(AttentionBlock(width, heads) for _ in range(blocks))
        self.mean = MeanOfPatches(width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (n, classes) of images (n, channels, height, width)."""
        x = self.patches(images)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.mean(x))
        return logits

    def stages_and_head(self) -> tuple[list[tuple[nn.Module, ...]], tuple[nn.Module, ...]]:
        """Return the patches and each block, and what makes logits of the last."""
        return [(self.patches,), *((block,) for block in self.blocks)], (self.mean, self.head)
