"""The geometry of what every layer computes on the probe: dimension, entropy, labels that can be read off, classes."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from fedlayers.core.kinds.labels import SEVERAL_LABELS, is_label_set, one_class
from fedlayers.core.layers import Layer
from fedlayers.core.records import Row
from fedlayers.core.seeding import torch_generator
from metrics.base import ClientView, Facts, Measurement, Metric, at, measured
from metrics.geometry.chance import Chance, against_chance
from metrics.geometry.class_variance import within_class_share
from metrics.geometry.effective_rank import effective_rank
from metrics.geometry.gaussian_entropy import gaussian_entropy
from metrics.geometry.label_information import label_information
from metrics.geometry.linear_probe import held_out_predictions, shuffled_within_folds, stratified_folds
from metrics.geometry.participation_ratio import debiased_participation_ratio, plain_participation_ratio
from metrics.geometry.principal_coordinates import PrincipalCoordinates, principal_coordinates, why_undefined
from metrics.probe.activations import probe_activations
from metrics.statistics.score_errors import accuracy_error

_GAO = "Gao et al. 2017, A theory of multineuronal dimensionality, dynamics and measurement, bioRxiv 214262"
_ROY = "Roy & Vetterli 2007, The effective rank: a measure of effective dimensionality, EUSIPCO"
_COVER = "Cover & Thomas 2006, Elements of Information Theory, theorem 8.4.1"
_ALAIN = "Alain & Bengio 2016, Understanding intermediate layers using linear classifier probes, arXiv 1610.01644"
_MODDEMEIJER = "Moddemeijer 1989, On estimation of entropy and mutual information of continuous distributions"
_PAPYAN = "Papyan, Han & Donoho 2020, Prevalence of neural collapse, arXiv 2008.08186"
# A part of the mean variance of a unit: above the rounding of float32, below what a unit that works has.
_RELATIVE_EPSILON = 1e-3


@dataclass(frozen=True)
class _Labels:
    """The probe's labels and everything drawn for them, the same for all layers, clients, moments, rounds and runs.

    Attributes:
        codes: classes 0 … K − 1, shape (n,); the first row of ``labellings``, the others are shuffled.
        labellings: shape (1 + permutations, n).
        folds: shape (n,).
        reason: why nothing can be said about labels, None if it can.
    """

    codes: Tensor
    labellings: Tensor
    folds: Tensor
    reason: str | None


class Representation(Metric):
    """Geometry of every layer's representation of the probe: what its module puts out, before the activation function.

    Per layer, on the probe's n examples; S the sample covariance of its d units, λ_j its eigenvalues:

    - participation_ratio: tr(S)² / tr(S²) = (Σλ)² / Σλ²: how many directions carry the variance. Variant ``debiased``:
      numerator and denominator as unbiased estimates for the distribution the examples come from, so that values of
      different n compare, with delete-one-example jackknife error; ``plain``: of S itself, at most min(n − 1, d), as in
      most papers.
    - effective_rank: exp(−Σ p ln p), p = λ / Σλ; not corrected for n.
    - gaussian_entropy: ½ ln det(2πe (S + εI)), ε = 0.001 tr(S) / d; missing unless n > d, as it would be that of ε.
    - probe_accuracy: share of the examples whose label a ridge classifier predicts that was fitted to the other
      ``folds`` − 1 folds of the examples; error that of an accuracy of given classifiers: from one probe to another
      values spread up to 1.3 times as much.
    - label_information: mutual information of those predictions and the labels, biased up by about ``chance``; error of
      given classifiers, too: from one probe to another values spread up to 1.5 times as much.
    - within_class_share: tr(S_W) / tr(S), the share of the variance within classes, with delete-one-example jackknife
      error; ``chance`` is the exact expectation for shuffled labels, (n − K) / (n − 1) with K classes.

    ``chance``, ``chance_hi`` and ``p`` of the two that predict come from repeating everything with shuffled labels. A
    binomial null would be too narrow, as every example trains the probes that predict the others: at the 5 % level it
    rejected 7 to 9 % of representations without information. All but the entropy are the same for any scale and
    rotation of the units.

    At ``after_local`` and ``after_aggregate`` of one round these are the layers before and after aggregation on the
    same examples.

    Args:
        positions: what becomes of pixels and sequence steps: ``pooled`` or ``flattened``, see
            :func:`metrics.probe.activations.layer_outputs`; as further samples they would not be independent.
        folds: of the cross-validation, 2 or more.
        examples_per_degree: training examples for each effective degree of freedom of the ridge classifier, 1 or more,
            which sets its penalty (:func:`metrics.geometry.linear_probe.held_out_predictions`).
        permutations: shuffles of the labels, 0 or more; 0 leaves out the null of the two that predict.
        rounds, moments: see :class:`metrics.base.Metric`.

    References:
        Chun et al. 2025, Estimating Dimensionality of Neural Representations from Finite Samples, arXiv 2509.26560;
        Zhu et al. 2025, arXiv 2502.03231 (layers before and after aggregation).
    """

    on_server = True
    uses_probe = True
    per_model = True
    # metrics=[readout] measures them on what follows the nonlinearity.
    common = frozenset({"participation_ratio", "gaussian_entropy", "probe_accuracy", "label_information"})

    facts = (
        Facts("participation_ratio", "dimensions", 1.0, math.inf, "neutral", _GAO, cost="pass", minimum_n=4),
        Facts("effective_rank", "dimensions", 1.0, math.inf, "neutral", _ROY, cost="pass", minimum_n=4),
        Facts("gaussian_entropy", "nat", -math.inf, math.inf, "neutral", _COVER, cost="pass", minimum_n=4),
        Facts("probe_accuracy", "1", 0.0, 1.0, "higher", _ALAIN, cost="pass", minimum_n=4),
        Facts("label_information", "nat", 0.0, math.inf, "higher", _MODDEMEIJER, cost="pass", minimum_n=4),
        Facts("within_class_share", "1", 0.0, 1.0, "neutral", _PAPYAN, cost="pass", minimum_n=4),
    )

    def __init__(
        self,
        positions: str = "pooled",
        folds: int = 5,
        examples_per_degree: float = 4.0,
        permutations: int = 100,
        rounds: Sequence[str | int] = ("first", "last"),
        moments: Sequence[str] = ("after_local", "after_aggregate"),
    ) -> None:
        super().__init__(rounds, moments)
        if positions not in ("pooled", "flattened"):
            raise ValueError(f"positions must be pooled or flattened, got {positions!r}")
        least_values = (
            ("folds", folds, 2),
            ("examples_per_degree", examples_per_degree, 1),
            ("permutations", permutations, 0),
        )
        for name, value, least in least_values:
            if not least <= value < math.inf:
                raise ValueError(f"{name} must be {least} or more, got {value!r}")
        self.positions, self.folds, self.examples_per_degree = positions, folds, examples_per_degree
        self.permutations = permutations
        probe = f"examples/df={examples_per_degree:g}, folds={folds}, {positions}"
        self.variants = (
            ("participation_ratio", f"debiased, {positions}"),
            ("participation_ratio", f"plain, {positions}"),
            ("effective_rank", positions),
            ("gaussian_entropy", f"eps={_RELATIVE_EPSILON:g}, {positions}"),
            ("probe_accuracy", probe),
            ("label_information", probe),
            ("within_class_share", positions),
        )

    def client(self, view: ClientView) -> Measurement:
        """Measure every layer of one model."""
        found = probe_activations(view, self.positions)
        assert view.probe is not None  # probe_activations raises
        n = len(view.probe)
        labels = self._labels(view.probe.targets())
        rows: list[Row] = []
        for layer in view.layers:
            output = found.outputs.get(layer.name)
            reason = found.reasons[layer.name] if output is None else why_undefined(output)
            if output is None or reason:
                rows += self._missing(self.variants, str(reason), layer, n)
                continue
            coordinates = principal_coordinates(output)
            rows += self._dimensions(coordinates, layer)
            rows += self._predictions(coordinates, labels, layer) + self._classes(coordinates, labels, layer)
        return Measurement(rows)

    def _labels(self, labels: Tensor) -> _Labels:
        several, labels = is_label_set(labels), one_class(labels)
        present, codes = torch.unique(labels, return_inverse=True)
        reason = f"all labels of the probe are of one class, {int(present[0])}" if len(present) < 2 else None
        if int(present[0]) < 0:
            reason = SEVERAL_LABELS if several else "the probe has no labels"
        # Seeds of their own: examples must not change folds from one client or round to the next.
        folds = stratified_folds(codes, self.folds, torch_generator(0, "representation/folds"))
        generator = torch_generator(0, "representation/permutations")
        shuffled = shuffled_within_folds(codes, folds, self.permutations, generator)
        return _Labels(codes, torch.cat([codes[None], shuffled]), folds, reason)

    def _missing(self, variants: Sequence[tuple[str, str]], reason: str, layer: Layer, n: int) -> list[Row]:
        return [_row(named, math.nan, None, layer, n, reason) for named in variants]

    def _dimensions(self, coordinates: PrincipalCoordinates, layer: Layer) -> list[Row]:
        """Return what needs no labels."""
        n, d = len(coordinates.rows), coordinates.units
        few = "too few examples: tr(Σ²) cannot be told from zero"
        debiased, plain, rank, entropy = self.variants[:4]
        rows = [
            _row(debiased, *debiased_participation_ratio(coordinates), layer, n, few),
            _row(plain, plain_participation_ratio(coordinates), None, layer, n),
            _row(rank, *effective_rank(coordinates), layer, n),
        ]
        if n <= d:
            return rows + self._missing([entropy], f"more examples than units are needed, got {n} and {d}", layer, n)
        return [*rows, _row(entropy, *gaussian_entropy(coordinates, _RELATIVE_EPSILON), layer, n)]

    def _predictions(self, coordinates: PrincipalCoordinates, labels: _Labels, layer: Layer) -> list[Row]:
        """Return what held-out predictions say, against the same with shuffled labels."""
        variants, n = self.variants[4:6], len(labels.codes)
        if labels.reason:
            return self._missing(variants, labels.reason, layer, n)
        predictions = held_out_predictions(coordinates, labels.labellings, labels.folds, self.examples_per_degree)
        accuracies = (predictions == labels.labellings).double().mean(1)
        accuracy = float(accuracies[0])
        known = [label_information(own, found) for own, found in zip(labels.labellings, predictions, strict=True)]
        information = torch.tensor([value for value, _ in known], dtype=torch.float64)
        error, chance = accuracy_error(accuracy * n, n), against_chance(accuracy, accuracies[1:])
        return [
            _row(variants[0], accuracy, error, layer, n, chance=chance),
            _row(variants[1], *known[0], layer, n, chance=against_chance(known[0][0], information[1:])),
        ]

    def _classes(self, coordinates: PrincipalCoordinates, labels: _Labels, layer: Layer) -> list[Row]:
        """Return the share of variance within classes."""
        n, classes = len(labels.codes), int(labels.codes.max()) + 1
        reason = labels.reason or ("every example is a class of its own" if classes == n else None)
        if reason:
            return self._missing(self.variants[6:], reason, layer, n)
        value, error = within_class_share(coordinates, labels.codes)
        return [_row(self.variants[6], value, error, layer, n, chance=Chance((n - classes) / (n - 1)))]


def _row(
    named: tuple[str, str],
    value: float,
    stderr: float | None,
    layer: Layer,
    n: int,
    reason: str = "the value is not finite",
    chance: Chance | None = None,
) -> Row:
    name, variant = named
    columns = {"stderr": stderr, "variant": variant, "scope": "probe", "n": n, **at(layer)}
    return measured(name, value, reason, **columns, **(asdict(chance) if chance else {}))
