"""Amended cross entropy: each form against its definition, its bounds, and what equal predictions give."""

import math

import numpy as np
import pytest
import torch

from fedlayers.core.errors import UserError
from fedlayers.objectives.ace import VARIANTS, ace, ace_slopes


def test_each_form_is_its_definition() -> None:
    own, following = torch.randn(2, 6, 4, dtype=torch.float64)
    p, q = own.softmax(1).numpy(), following.softmax(1).numpy()
    m = (p + q) / 2

    def kl(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        found: np.ndarray = (a * np.log(a / b)).sum(1)
        return found

    expected = {
        "ce_i_next": -(p * np.log(q)).sum(1),
        "ce_next_i": -(q * np.log(p)).sum(1),
        "js": (kl(p, m) + kl(q, m)) / 2,
        "sym_kl": kl(p, q) + kl(q, p),
    }
    assert set(expected) == set(VARIANTS)
    for variant, values in expected.items():
        np.testing.assert_allclose(ace(variant, own, following).numpy(), values, rtol=1e-10)
        assert torch.autograd.gradcheck(lambda z, form=variant: ace(form, z, following), own.clone().requires_grad_())


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_slopes_in_closed_form_are_the_derivatives(variant: str) -> None:
    """Classes first there; the third example's probabilities are below what counts."""
    own, following = torch.randn(2, 6, 4, dtype=torch.float64)
    own[2] *= 40
    following[3] *= 40
    logits = own.clone().requires_grad_()
    (expected,) = torch.autograd.grad(ace(variant, logits, following).sum(), logits)
    found = ace_slopes(variant, own.log_softmax(1).T, following.log_softmax(1).T).T
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.sum(1), torch.zeros(6, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("variant", "bound"), [("js", math.log(2)), ("ce_i_next", 27.7), ("sym_kl", 55.3)])
def test_opposite_certainties_stay_within_bounds(variant: str, bound: float) -> None:
    own = torch.tensor([[900.0, 0.0]], requires_grad=True)
    value = ace(variant, own, torch.tensor([[0.0, 900.0]]))
    assert bound - 0.1 < value.item() < bound + 1e-6
    (slope,) = torch.autograd.grad(value.sum(), own)
    assert bool(slope.isfinite().all())


def test_equal_predictions_are_no_distance_apart() -> None:
    logits = torch.randn(5, 3)
    for variant in ("js", "sym_kl"):
        torch.testing.assert_close(ace(variant, logits, logits + 2), torch.zeros(5), atol=1e-6, rtol=0)


def test_another_form_is_told_in_a_sentence() -> None:
    with pytest.raises(UserError, match="ace_variant must be one of ce_i_next, ce_next_i, js, sym_kl, got 'kl'"):
        ace("kl", torch.zeros(1, 2), torch.zeros(1, 2))
