"""ResNet-18 with group or batch normalisation."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import relu

from fedlayers.core.checks import check
from fedlayers.models.images import image_shape
from fedlayers.models.pooling import MaxPool2d

# Above this many pixels a side the original stem applies, which shrinks the image fourfold.
LARGEST_SMALL_IMAGE = 64


class ResNet18(nn.Module):
    """Eight residual blocks in four stages.

    Layers: ``conv1``, ``norm1``, ``stage1.0.conv1`` … ``stage4.1.norm2``, ``fc``.

    Images of up to 64 pixels a side get a 3×3 stem that keeps their size, larger ones the original 7×7 stem
    with max-pooling. Batch normalisation mixes the examples of a batch and has statistics that differ between
    clients; group normalisation does neither.

    Args:
        input_shape: one image's shape (channels, height, width).
        num_classes: the number of outputs, one logit each.
        norm: ``group`` or ``batch``.
        width: channels of the first stage, doubled in each of the next; with ``norm=group`` a multiple of
            ``groups``.
        groups: number of groups of a group normalisation, 1 or more.

    References:
        He et al. 2016, Deep residual learning, arXiv:1512.03385. Wu and He 2018, Group normalization,
        arXiv:1803.08494. Hsieh et al. 2020, The non-IID data quagmire, arXiv:1910.00189.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        norm: str = "group",
        width: int = 64,
        groups: int = 32,
    ) -> None:
        super().__init__()
        colours, height, side = image_shape(input_shape, f"resnet18_{'bn' if norm == 'batch' else 'gn'}", smallest=8)
        check(norm in ("group", "batch"), "model.norm", "group or batch", norm)
        check(groups >= 1, "model.groups", "1 or more", groups)
        unit = groups if norm == "group" else 1
        check(width >= 1 and width % unit == 0, "model.width", f"a positive multiple of {unit}", width)
        self.groups = groups if norm == "group" else None
        small = max(height, side) <= LARGEST_SMALL_IMAGE
        kernel, stride, padding = (3, 1, 1) if small else (7, 2, 3)
        self.conv1 = nn.Conv2d(colours, width, kernel, stride, padding, bias=False)
        self.norm1 = _norm(width, self.groups)
        self.pool = nn.Identity() if small else MaxPool2d(3, stride=2, padding=1)
        self.stage1 = self._stage(width, width, stride=1)
        self.stage2 = self._stage(width, 2 * width, stride=2)
        self.stage3 = self._stage(2 * width, 4 * width, stride=2)
        self.stage4 = self._stage(4 * width, 8 * width, stride=2)
        self.fc = nn.Linear(8 * width, num_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (b, num_classes) of images (b, channels, height, width)."""
        x = self.pool(relu(self.norm1(self.conv1(images))))
        x = self.stage4(self.stage3(self.stage2(self.stage1(x))))  # (b, 8 width, h', w')
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits

    def stages_and_head(self) -> tuple[list[tuple[nn.Module, ...]], tuple[nn.Module, ...]]:
        """Return the stem and the eight blocks, see :func:`fedlayers.core.stages.stages`."""
        blocks = [block for stage in (self.stage1, self.stage2, self.stage3, self.stage4) for block in stage]
        stem = (self.conv1, self.norm1, nn.ReLU(), self.pool)
        return [stem, *((block,) for block in blocks)], (nn.AdaptiveAvgPool2d(1), nn.Flatten(), self.fc)

    def _stage(self, before: int, after: int, stride: int) -> nn.Sequential:
        return nn.Sequential(Block(before, after, stride, self.groups), Block(after, after, 1, self.groups))


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut; a 1×1 convolution on the shortcut where the shape changes.

    Args:
        before: input channels.
        after: output channels.
        stride: stride of the first convolution and of the shortcut.
        groups: groups of the normalisations, None for batch normalisation.
    """

    def __init__(self, before: int, after: int, stride: int, groups: int | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = _norm(after, groups)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = _norm(after, groups)
        self.shortcut = nn.Sequential()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                OrderedDict(conv=nn.Conv2d(before, after, 1, stride=stride, bias=False), norm=_norm(after, groups))
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return features (b, after, h / stride, w / stride) of features (b, before, h, w)."""
        y = self.norm2(self.conv2(relu(self.norm1(self.conv1(x)))))
        return relu(y + self.shortcut(x))


def _norm(channels: int, groups: int | None) -> nn.Module:
    return nn.BatchNorm2d(channels) if groups is None else nn.GroupNorm(groups, channels)
