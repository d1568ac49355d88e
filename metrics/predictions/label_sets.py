"""How well label sets are predicted: scores of 0/1 vectors, each with its error and with what chance gives."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from metrics.array_arguments import Array, as_tensor
from metrics.statistics.score_errors import accuracy_error

SET_SCORES = ("subset_accuracy", "hamming_loss", "micro_f1", "macro_f1", "average_precision")


@dataclass(frozen=True, slots=True)
class SetScore:
    """One score of predicted label sets.

    Attributes:
        value: the score; NaN where it is not defined.
        stderr: standard error over examples; None for a single example, and where all examples count alike, whose
            spread of 0 would say that the score is certain.
        chance: mean of the score when the predictions are randomly permuted over the examples (exact).
    """

    value: float
    stderr: float | None
    chance: float


def label_set_scores(labels: Array, outputs: Array, threshold: float = 0.0) -> dict[str, SetScore]:
    """Return the scores of predicted label sets: y says whether a label holds for an example, p if it is predicted.

    - ``subset_accuracy``: the share of examples of which all labels are right.
    - ``hamming_loss``: the share of the n · C labels that are wrong.
    - ``micro_f1``: 2 Σ y p / (Σ y + Σ p), sums over examples and labels.
    - ``macro_f1``: the mean over labels of 2 Σ_i y p / (Σ_i y + Σ_i p).
    - ``average_precision``: the mean over labels of Σ_r (R_r − R_{r−1}) P_r, P and R precision and recall among the
      examples with the r highest outputs; equal outputs count as one step.

    The last two leave out labels that hold for no example. Errors are those of the infinitesimal jackknife (the delta
    method on the weights of examples), that of the first Agresti and Coull's.

    Args:
        labels: 0 or 1, shape (n, C), n ≥ 1.
        outputs: shape (n, C); a label is predicted where its output is larger than ``threshold``.
        threshold: 0 for logits, which is a probability of one half.

    References:
        Zhang & Zhou 2014, A Review on Multi-Label Learning Algorithms, IEEE TKDE 26; Bestgen 2015, Exact Expected
        Average Precision of the Random Baseline, arXiv 1506.06712 (chance); Efron 1982, The Jackknife, ch. 6 (errors).

    Examples:
        >>> scores = label_set_scores(torch.tensor([[1, 0], [0, 1]]), torch.tensor([[2.0, -1.0], [1.0, 3.0]]))
        >>> {name: round(score.value, 3) for name, score in scores.items()}
        {'subset_accuracy': 0.5, 'hamming_loss': 0.25, 'micro_f1': 0.8, 'macro_f1': 0.833, 'average_precision': 1.0}
    """
    truth, logits = as_tensor(labels, "labels").cpu() != 0, as_tensor(outputs, "outputs").cpu().double()
    found = logits > threshold
    y, p, n = truth.double(), found.double(), len(truth)
    held, said = y.sum(0), p.sum(0)
    return {
        "subset_accuracy": _subset_accuracy(truth, found),
        "hamming_loss": _hamming_loss(y, p),
        "micro_f1": _micro_f1(y * p, y + p, 2 * float((held * said).sum()) / n),
        "macro_f1": _macro_f1(y, p),
        "average_precision": _average_precision(y, logits),
    }


def _subset_accuracy(truth: Tensor, found: Tensor) -> SetScore:
    n, hits = len(truth), int((truth == found).all(1).sum())
    _, codes = torch.unique(torch.cat([truth, found]), dim=0, return_inverse=True)
    true, said = (torch.bincount(part, minlength=int(codes.max()) + 1).double() / n for part in codes.split(n))
    return SetScore(hits / n, accuracy_error(hits, n) if n > 1 else None, float(true @ said))


def _hamming_loss(y: Tensor, p: Tensor) -> SetScore:
    wrong = (y - p).abs().mean(1)
    true, said = y.mean(0), p.mean(0)
    slopes = (wrong - wrong.mean()) / len(y)
    return SetScore(float(wrong.mean()), _error(slopes), float((true + said - 2 * true * said).mean()))


def _micro_f1(both: Tensor, sizes: Tensor, twice_by_chance: float) -> SetScore:
    """Return 2 Σ both / Σ sizes of numbers (n, C), all labels together, and what chance gives in place of 2 Σ both."""
    total = float(sizes.sum())
    if not total:
        return SetScore(math.nan, None, math.nan)
    value = 2 * float(both.sum()) / total
    return SetScore(value, _error((2 * both.sum(1) - value * sizes.sum(1)) / total), twice_by_chance / total)


def _macro_f1(y: Tensor, p: Tensor) -> SetScore:
    present = y.any(0)
    if not present.any():
        return SetScore(math.nan, None, math.nan)
    y, p = y[:, present], p[:, present]
    sizes = (y + p).sum(0)
    values = 2 * (y * p).sum(0) / sizes
    slopes = ((2 * y * p - values * (y + p)) / sizes).mean(1)
    chance = 2 * y.sum(0) * p.sum(0) / len(y) / sizes
    return SetScore(float(values.mean()), _error(slopes), float(chance.mean()))


def _average_precision(y: Tensor, outputs: Tensor) -> SetScore:
    present = y.any(0)
    if not present.any():
        return SetScore(math.nan, None, math.nan)
    parts = [_precision_of(y[:, label], outputs[:, label]) for label in present.nonzero().flatten().tolist()]
    n, held = len(y), y[:, present].sum(0)
    harmonic = float((1 / torch.arange(1, n + 1, dtype=torch.float64)).sum()) / n
    chance = harmonic + (held - 1) / max(n - 1, 1) * (1 - harmonic)
    value = sum(value for value, _ in parts) / len(parts)
    return SetScore(value, _error(torch.stack([slopes for _, slopes in parts]).mean(0)), float(chance.mean()))


def _precision_of(y: Tensor, outputs: Tensor) -> tuple[float, Tensor]:
    """Return the average precision of one label, and its derivatives by the weights of the examples, shape (n,).

    Of an example i that has the label, P_i = T_i / N_i is the precision among those whose output is as high, N_i of
    them; AP = Σ y_i P_i / Σ y_i. A weight of example j counts in N_i and T_i of all i below it.
    """
    order = outputs.argsort(descending=True, stable=True)
    scores, own = -outputs[order], y[order]
    last = torch.searchsorted(scores, scores, right=True)  # N: equal outputs end together
    first = torch.searchsorted(scores, scores)
    hits = own.cumsum(0)
    precision, held = hits[last - 1] / last, float(own.sum())
    value = float((own * precision).sum()) / held
    below = [_from_here(own / last)[first], _from_here(own * precision / last)[first]]
    slopes = torch.empty_like(outputs)
    slopes[order] = (own * (precision - value) + own * below[0] - below[1]) / held
    return value, slopes


def _from_here(values: Tensor) -> Tensor:
    """Return the sum of each value and all that follow."""
    return values.flip(0).cumsum(0).flip(0)


def _error(slopes: Tensor) -> float | None:
    """Return the standard error of a score with these derivatives by the weights of n examples, which sum to 0."""
    n = len(slopes)
    spread = float(slopes.square().sum())
    return math.sqrt(spread * n / (n - 1)) if n > 1 and spread > 1e-24 else None
