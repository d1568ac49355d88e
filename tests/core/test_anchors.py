"""Anchors: orthonormal, the same for all who have the seed, scores by the book, and what happens in few dimensions."""

import math

import pytest
import torch
from torch import Tensor, nn

from fedlayers.core.anchors import Anchors, anchors_of
from fedlayers.core.errors import UserError
from fedlayers.core.stages import readouts_of

WIDE = torch.zeros(1, 12, dtype=torch.float64)


def rows(anchors: Anchors) -> Tensor:
    return anchors.rows(torch.zeros(1, anchors.width, dtype=torch.float64)).detach()


def test_they_are_orthonormal_and_follow_from_the_seed_alone() -> None:
    drawn = rows(Anchors(5, 12, seed=3))
    torch.testing.assert_close(drawn @ drawn.T, torch.eye(5, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.manual_seed(99)
    assert torch.equal(rows(Anchors(5, 12, seed=3)), drawn)
    assert not torch.equal(rows(Anchors(5, 12, seed=4)), drawn)
    # No weights and no buffers: nothing is sent, nothing averaged.
    assert not Anchors(5, 12).state_dict()


@pytest.mark.parametrize("kind", ["orthonormal", "learned", "class_means"])
def test_more_classes_than_width_give_random_directions_and_a_remark(kind: str) -> None:
    anchors = Anchors(9, 4, kind)
    torch.testing.assert_close(rows(anchors).norm(dim=1), torch.ones(9, dtype=torch.float64), atol=1e-6, rtol=0)
    assert anchors.remark == "9 classes have no orthonormal anchors in 4 dimensions: they are random directions"
    assert torch.equal(rows(anchors), rows(Anchors(9, 4, "random")))
    assert Anchors(9, 4, "random").remark == Anchors(4, 4, kind).remark == ""


def test_scores_are_the_cosine_and_the_squared_distance_over_the_temperature() -> None:
    h = torch.randn(7, 12, dtype=torch.float64)
    for kind in ("orthonormal", "random", "learned", "class_means"):
        cosine, l2 = (Anchors(5, 12, kind, similarity, 0.4).double() for similarity in ("cosine", "l2"))
        e = rows(cosine)
        by_hand = torch.nn.functional.cosine_similarity(h.unsqueeze(1), e.unsqueeze(0), dim=2)
        torch.testing.assert_close(cosine(h).detach(), by_hand / 0.4)
        torch.testing.assert_close(l2(h).detach(), -torch.cdist(h, e).square() / 0.4)
    # Channels are averaged over their positions, and a dead unit is no NaN.
    image = h.unsqueeze(2).expand(-1, -1, 6).reshape(7, 12, 2, 3)
    torch.testing.assert_close(cosine(image), cosine(h))
    # Nor is one whose squares half precision cannot hold.
    torch.testing.assert_close(Anchors(5, 12)((300 * h).half()), Anchors(5, 12)(h.half()), atol=0.02, rtol=0.01)
    dead = torch.zeros(2, 12, requires_grad=True)
    Anchors(5, 12)(dead).sum().backward()
    assert dead.grad is not None and bool(dead.grad.isfinite().all())


def test_class_means_move_a_tenth_of_the_way_to_those_of_the_batch() -> None:
    anchors, plain = Anchors(3, 2, "class_means", "l2"), Anchors(3, 2)
    before = rows(anchors)
    h, labels = torch.tensor([[2.0, 0.0], [4.0, 2.0], [0.0, 1.0]]), torch.tensor([1, 1, 2])
    anchors.follow(h, labels)
    plain.follow(h, labels)
    after = rows(anchors)
    assert torch.equal(after[0], before[0])
    torch.testing.assert_close(after[1], 0.9 * before[1] + 0.1 * torch.tensor([3.0, 1.0]).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(after[2], 0.9 * before[2] + 0.1 * h[2].double(), atol=1e-6, rtol=0)
    assert torch.equal(rows(plain), rows(Anchors(3, 2)))
    # By directions, where only they count.
    cosine = Anchors(3, 2, "class_means")
    cosine.follow(h, labels)
    unit = (torch.tensor([1.0, 0.0]) + torch.tensor([2.0, 1.0]) / math.sqrt(5)) / 2
    torch.testing.assert_close(rows(cosine)[1], (0.9 * before[1] + 0.1 * unit.double()), atol=1e-6, rtol=0)


def test_a_model_without_anchors_gets_those_that_the_seed_draws() -> None:
    drawn = anchors_of(nn.Linear(2, 2), [12, 6], 5, seed=3)
    assert [one.width for one in drawn] == [12, 6] and torch.equal(rows(drawn[0]), rows(Anchors(5, 12, seed=3)))
    assert readouts_of(nn.Linear(2, 2)) is None


def test_mistakes_are_told_in_a_sentence() -> None:
    with pytest.raises(UserError, match="anchors must be one of orthonormal, random, learned, class_means, got 'own'"):
        Anchors(3, 4, "own")
    with pytest.raises(UserError, match=r"model\.similarity must be one of cosine, l2, got 'dot'"):
        Anchors(3, 4, similarity="dot", key="model.")
    with pytest.raises(UserError, match="temperature must be positive, got 0"):
        Anchors(3, 4, temperature=0)
