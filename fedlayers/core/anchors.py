"""Class anchors: a vector for each class in the space of a stage, near which that class's examples are to lie."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from fedlayers.core.checks import check, one_of, positive
from fedlayers.core.seeding import torch_generator
from fedlayers.core.stages import pooled, readouts_of

KINDS = ("orthonormal", "random", "learned", "class_means")
SIMILARITIES = ("cosine", "l2")
# How far class means move towards those of a batch.
_MOMENTUM = 0.1
# A shorter representation counts as that long, as in torch's normalize.
_SMALLEST_NORM = 1e-12


class Anchors(nn.Module):
    """Anchors E (C, N), and the scores that they give a representation h: G(h, c) / τ, the logits of classes.

    ``cosine``: G = cos(h, e_c); ``l2``: G = −‖h − e_c‖². ``orthonormal`` anchors are orthonormal rows, ``random`` ones
    independent directions of length 1; both follow from the run's seed, C and N alone, so that all clients, and all
    stages of one width, have the same without sending any. ``learned`` ones are weights that begin orthonormal and are
    trained with their stage, ``class_means`` a moving average of each class's h in training.

    Args:
        classes: C.
        width: N, the units of h; channels are averaged over their positions.
        kind: one of :data:`KINDS`. In fewer dimensions than classes nothing is orthonormal: rows are then random.
        similarity: ``cosine`` or ``l2``.
        temperature: τ, positive.
        seed: the run's seed.
        key: what messages name before an argument, such as ``model.``.

    Attributes:
        remark: what the user should know of them, "" for nothing.

    Examples:
        >>> anchors = Anchors(3, 8)
        >>> rows = anchors.rows(torch.zeros(1, 8, dtype=torch.float64))
        >>> torch.allclose(rows @ rows.T, torch.eye(3, dtype=torch.float64), atol=1e-6)
        True
    """

    def __init__(
        self,
        classes: int,
        width: int,
        kind: str = "orthonormal",
        similarity: str = "cosine",
        temperature: float = 0.1,
        seed: int = 0,
        key: str = "",
    ) -> None:
        super().__init__()
        one_of(f"{key}anchors", kind, KINDS)
        one_of(f"{key}similarity", similarity, SIMILARITIES)
        check(positive(temperature), f"{key}temperature", "positive", temperature)
        self.classes, self.width, self.kind = classes, width, kind
        self.similarity, self.temperature = similarity, temperature
        drawn = _drawn("random" if kind == "random" else "orthonormal", classes, width, seed)
        # Not a buffer: what the seed draws is sent to nobody and averaged with nothing.
        self._fixed = drawn
        self._copies: dict[tuple[torch.device, torch.dtype], Tensor] = {}
        if kind == "learned":
            self.weight = nn.Parameter(drawn.clone())
        elif kind == "class_means":
            self.register_buffer("means", drawn.clone())
        short = classes > width and kind != "random"
        self.remark = (
            f"{classes} classes have no orthonormal anchors in {width} dimensions: they are random directions"
            if short
            else ""
        )

    def rows(self, like: Tensor) -> Tensor:
        """Return E, shape (C, N), of the type and on the device of a tensor."""
        if self.kind == "learned":
            return self.weight.to(like)
        if self.kind == "class_means":
            return self.get_buffer("means").to(like)
        place = (like.device, like.dtype)
        if place not in self._copies:
            self._copies[place] = self._fixed.to(*place)
        return self._copies[place]

    def scores_as(self, other: nn.Module) -> bool:
        """Say whether something else gives representations the same logits, now and after training."""
        if self.kind in ("learned", "class_means") or not isinstance(other, Anchors) or other.kind != self.kind:
            return False
        alike = (self.similarity, self.temperature) == (other.similarity, other.temperature)
        return alike and torch.equal(self._fixed, other._fixed)

    def similarities(self, representation: Tensor) -> Tensor:
        """Return G(h, c), shape (n, C), of representations, shape (n, N) or (n, N, …)."""
        h = pooled(representation)
        rows = self.rows(h)
        if self.similarity == "cosine":
            unit = rows if self.kind in ("orthonormal", "random") else normalize(rows, dim=1)
            # Divided afterwards: in training a pass over C numbers an example costs less than one over N. And by a norm
            # from squares, a third of what torch's takes with its gradient; those of half precision overflow.
            wide = h.to(torch.promote_types(h.dtype, torch.float32))
            inverse = wide.square().sum(1, keepdim=True).clamp_min(_SMALLEST_NORM**2).rsqrt()
            return (h @ unit.T * inverse).to(h.dtype)
        return 2 * h @ rows.T - h.square().sum(1, keepdim=True) - rows.square().sum(1)

    def forward(self, representation: Tensor) -> Tensor:
        """Return the logits G(h, c) / τ, shape (n, C)."""
        return self.similarities(representation) / self.temperature

    @torch.no_grad()
    def follow(self, representation: Tensor, labels: Tensor) -> None:
        """Move class means towards those of a batch: a tenth of the way, for each class that it has; else do nothing.

        Args:
            representation: h, shape (n, N) or (n, N, …).
            labels: the classes, shape (n,).
        """
        if self.kind != "class_means":
            return
        h, means = pooled(representation).detach(), self.get_buffer("means")
        unit = normalize(h, dim=1) if self.similarity == "cosine" else h
        one_hot = torch.nn.functional.one_hot(labels, self.classes).to(h.dtype)
        counts = one_hot.sum(0)
        batch = one_hot.T @ unit / counts.clamp(min=1).unsqueeze(1)
        share = _MOMENTUM * (counts > 0).to(h.dtype).unsqueeze(1)
        means.add_(share * (batch - means))


def anchors_of(module: nn.Module, widths: Sequence[int], classes: int, seed: int) -> tuple[Anchors, ...]:
    """Return the anchors of each stage of a network: its own, or orthonormal ones that the run's seed draws.

    Args:
        module: the network.
        widths: the units of each stage.
        classes: the number of classes.
        seed: the run's seed.
    """
    own = readouts_of(module) or ()
    found = tuple(part for part in own if isinstance(part, Anchors))
    return found or tuple(Anchors(classes, width, seed=seed) for width in widths)


@lru_cache(maxsize=64)
def _drawn(kind: str, classes: int, width: int, seed: int) -> Tensor:
    """Return rows of length 1, shape (C, N), float32; orthonormal if that is asked for and there is room."""
    generator = torch_generator(seed, f"anchors/{classes}/{width}")
    gaussian = torch.randn(width, classes, generator=generator, dtype=torch.float64)
    if kind == "random" or classes > width:
        return normalize(gaussian.T, dim=1).float().contiguous()
    rows, triangle = torch.linalg.qr(gaussian)
    # The signs that make the decomposition the only one: the same whatever computes it.
    unique: Tensor = rows * triangle.diagonal().sign()
    return unique.T.float().contiguous()
