"""What can be read off every stage of a network: how well it predicts, what it keeps, how it differs from the next."""

import math
from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import Tensor, nn

from fedlayers.core.anchors import Anchors, anchors_of
from fedlayers.core.layers import Layer
from fedlayers.core.records import Row
from fedlayers.core.stages import stages
from metrics.base import ClientView, ExampleSet, Facts, Measurement, Metric, at, measured
from metrics.readouts.chain import Link, chain_readings
from metrics.readouts.information.by_geometry import COMPONENTS, VARYING, input_components
from metrics.readouts.probe_labels import ProbeLabels
from metrics.readouts.reading import Reading
from metrics.readouts.stage_outputs import stage_outputs, stage_widths
from metrics.representation import Representation

_BELILOVSKY = "Belilovsky et al. 2019, Greedy Layerwise Learning Can Scale to ImageNet, ICML"
_SHOHAM = "Shoham & Permuter 2020, Amended Cross Entropy Cost: Explicit Diversity Encouragement, arXiv 2007.08140"
_LIN = "Lin 1991, Divergence Measures Based on the Shannon Entropy, IEEE Transactions on Information Theory 37"
_KRASKOV = "Kraskov, Stögbauer & Grassberger 2004, Estimating mutual information, Physical Review E 69"
_ALAIN = "Alain & Bengio 2016, Understanding intermediate layers using linear classifier probes, arXiv 1610.01644"
_KORNBLITH = "Kornblith et al. 2019, Similarity of Neural Network Representations Revisited, arXiv 1905.00414"
_HASTIE = "Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, ch. 3.4.1"
_BOUND = math.log(2)
_LONGEST = -math.log(1e-12)
_VARIANTS = {
    **dict.fromkeys(("probe_accuracy", "probe_f1", "probe_js", "label_information", "ridge_r2_next"), "halves"),
    "input_information": f"neighbours, {COMPONENTS} components",
    "gaussian_entropy": "diagonal",
    VARYING: "diagonal, units that vary",
    "cka_previous": "debiased",
    "participation_ratio": "debiased",
}
# Quantities that stand for the same as those of this name before the nonlinearity.
_SHARED = ("participation_ratio", "gaussian_entropy", "probe_accuracy", "label_information")


def _facts(name: str, unit: str, low: float, high: float, direction: str, reference: str) -> Facts:
    return Facts(name, unit, low, high, direction, reference, cost="pass", minimum_n=4)


class Readout(Metric):
    """What every stage of a network predicts, keeps of its input, and adds to the stage before it, on the probe.

    A stage ends where a layer's nonlinearity, and what pools it, has been applied
    (:func:`fedlayers.core.stages.stages`); its representation h_l has one row an example, channels averaged over their
    positions. A row stands at the stage's last layer with weights. :class:`metrics.representation.Representation`
    measures the output of each layer's own module, before the nonlinearity; names that both have mean the same.

    How well does a stage predict?

    - anchor_accuracy, anchor_cross_entropy (and ..._plain, with τ = 1), anchor_alignment, anchor_margin: of
      q_l = softmax(G(h_l, ·) / τ), G the similarity to class anchors: the model's own, or for any other model
      orthonormal ones from the run's seed, the same for all clients. Those a network has not been trained on tell it
      nothing: that is chance's level. Alignment is the mean cos(h, e_y), the margin that less the largest other cosine.
    - probe_accuracy, probe_f1 (weighted), label_information: of a ridge classifier fitted to one half of the examples,
      on the other half, both ways. These compare networks, whatever they were trained for.

    What does it keep?

    - input_information: mutual information of the two leading principal components of the input and of h_l, with equal
      variances, of at most 500 examples, from nearest neighbours: 0 for independent variables.
      mutual_information_binned: the first system's estimate, near 2 nats for 128 independent examples.
    - gaussian_entropy: ½ Σ ln(2πe s²) over the units. Variant ``diagonal`` is missing where one does not vary, as it is
      −∞ then, which is the rule after ReLU; ``diagonal, units that vary`` leaves those out.
    - participation_ratio: tr(S)² / tr(S²), with unbiased estimates of both.

    How does it differ?

    - cka_previous: debiased linear CKA of h_l and h_(l−1); ridge_r2_next: held-out R² of a linear map from h_l to
      h_(l+1).
    - ace_ce_i_next, ace_ce_next_i, ace_js, ace_sym_kl: how far q_l is from q_(l+1); probe_js: the Jensen-Shannon
      divergence of what the linear probes of both predict.

    ``chance``, ``chance_hi`` and ``p`` come from shuffled labels, with probes of their own for each shuffle, from 19
    shuffles of the examples where there are no labels, of CKA from its permutation distribution, of R² exactly (no p).

    Args:
        examples_per_degree: training examples for each effective degree of freedom of probe and ridge regression, 1 or
            more (:func:`metrics.readouts.halves.half_smoother.half_smoothers`).
        permutations: shuffles of the labels, 0 or more; 0 leaves out their null.
        rounds, moments, steps: see :class:`metrics.base.Metric`.

    References:
        Belilovsky et al. 2019, ICML; Alain & Bengio 2016, arXiv 1610.01644; and those of the functions in
        :mod:`metrics.readouts`.
    """

    on_server = True
    uses_probe = True
    per_model = True
    common = frozenset(_SHARED)

    facts = (
        _facts("anchor_accuracy", "1", 0.0, 1.0, "higher", _BELILOVSKY),
        _facts("anchor_cross_entropy", "nat", 0.0, math.inf, "lower", _BELILOVSKY),
        _facts("anchor_cross_entropy_plain", "nat", 0.0, math.inf, "lower", _BELILOVSKY),
        _facts("anchor_alignment", "1", -1.0, 1.0, "higher", _BELILOVSKY),
        _facts("anchor_margin", "1", -2.0, 2.0, "higher", _BELILOVSKY),
        _facts("ace_ce_i_next", "nat", 0.0, _LONGEST, "neutral", _SHOHAM),
        _facts("ace_ce_next_i", "nat", 0.0, _LONGEST, "neutral", _SHOHAM),
        _facts("ace_js", "nat", 0.0, _BOUND, "neutral", _LIN),
        _facts("ace_sym_kl", "nat", 0.0, 2 * _LONGEST, "neutral", _SHOHAM),
        _facts("probe_f1", "1", 0.0, 1.0, "higher", _ALAIN),
        _facts("probe_js", "nat", 0.0, _BOUND, "neutral", _LIN),
        _facts("input_information", "nat", -math.inf, math.inf, "neutral", _KRASKOV),
        _facts("mutual_information_binned", "nat", 0.0, math.inf, "neutral", "the first system's own definition"),
        _facts("cka_previous", "1", -1.0, 1.0, "neutral", _KORNBLITH),
        _facts("ridge_r2_next", "1", -math.inf, 1.0, "neutral", _HASTIE),
        *(facts for facts in Representation.facts if facts.name in _SHARED),
    )

    def __init__(
        self,
        examples_per_degree: float = 4.0,
        permutations: int = 100,
        rounds: Sequence[str | int] = ("first", "last"),
        moments: Sequence[str] = ("after_local", "after_aggregate"),
        steps: Sequence[str | int] = (),
    ) -> None:
        super().__init__(rounds, moments, steps)
        for name, value, least in (("examples_per_degree", examples_per_degree, 1), ("permutations", permutations, 0)):
            if not least <= value < math.inf:
                raise ValueError(f"{name} must be {least} or more, got {value!r}")
        self.examples_per_degree, self.permutations = examples_per_degree, permutations
        self._known: tuple[ExampleSet, int, tuple[ProbeLabels, Tensor | str]] | None = None

    def check_model(self, module: nn.Module) -> None:
        """Raise UserError if a model has no stages."""
        stages(module)

    def remarks(self, view: ClientView) -> list[str]:
        """Say where there are more classes than a stage has units."""
        own = anchors_of(view.module, stage_widths(view), len(view.classes), view.run_seed)
        return list(dict.fromkeys(one.remark for one in own if one.remark))

    # Anchors may be weights.
    @torch.no_grad()
    def client(self, view: ClientView) -> Measurement:
        """Read off every stage of one model."""
        outputs = stage_outputs(view)
        assert view.probe is not None  # stage_outputs raises
        labels, inputs = self._of_probe(view.probe, len(view.classes))
        widths = [output.rows.shape[-1] for output in outputs]
        anchors = anchors_of(view.module, widths, labels.classes, view.run_seed)
        chain = [
            Link.of(output.rows, own, output.reason, labels, self.examples_per_degree)
            for output, own in zip(outputs, anchors, strict=True)
        ]
        found = chain_readings(chain, inputs, labels)
        layers = {layer.name: layer for layer in view.layers}
        return Measurement(
            [
                _row(name, reading, layers[output.name], own, len(view.probe))
                for output, own, readings in zip(outputs, anchors, found, strict=True)
                for name, reading in readings.items()
            ]
        )

    def _of_probe(self, probe: ExampleSet, classes: int) -> tuple[ProbeLabels, Tensor | str]:
        """Return labels and leading components of the probe, found once: all models are read on the same."""
        known = self._known
        if known is None or known[0] is not probe or known[1] != classes:
            features, labels = probe.batch(torch.arange(len(probe)))
            found = ProbeLabels.of(labels.cpu(), classes, self.permutations), input_components(features.cpu())
            self._known = known = (probe, classes, found)
        return known[2]

    def inside(self, view: ClientView) -> list[Row]:
        """Read off every stage of one client's model inside its local training."""
        return self.client(view).rows


def _row(name: str, reading: Reading, layer: Layer, anchors: Anchors, n: int) -> Row:
    null = asdict(reading.chance)
    n = n if reading.n is None else reading.n
    columns = {"stderr": reading.stderr, "variant": _variant(name, anchors), "scope": "probe", "n": n, **at(layer)}
    return measured(name.partition(" ")[0], reading.value, reading.reason, **columns, **null)


def _variant(name: str, anchors: Anchors) -> str | None:
    """Return the estimator of a quantity, or the anchors that it depends on."""
    if not name.startswith(("anchor_", "ace_")):
        return _VARIANTS.get(name)
    if name in ("anchor_alignment", "anchor_margin"):
        return anchors.kind
    scored = f"{anchors.kind}, {anchors.similarity}"
    plain = {"anchor_accuracy": "", "anchor_cross_entropy_plain": ", tau=1"}
    return scored + plain.get(name, f", tau={anchors.temperature:g}")
