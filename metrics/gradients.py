"""How large a client's gradients are, how noisy, and how they differ between clients, layer by layer."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from fedlayers.core.cohorts.meeting import Alone
from fedlayers.core.layers import Layer
from fedlayers.core.quantities import LossFacts
from fedlayers.core.records import Row
from fedlayers.core.seeding import torch_generator
from metrics.base import ClientView, Facts, Measurement, Metric, ServerView, at, measured
from metrics.cohorts.batches import measured_batches
from metrics.cohorts.jobs import MeasuringJob, done
from metrics.cohorts.models import Models
from metrics.example_gradients.gradient_statistics import GradientSample, GradientScatter, sample_gradients, scatters
from metrics.example_gradients.per_example import ExamplePass
from metrics.example_gradients.stacked import StackedPass, stacked_samples
from metrics.statistics.between_clients import Decomposition, decompose
from metrics.statistics.jackknife import block_sizes
from metrics.statistics.sketch import count_sketch, sketch_widths
from metrics.statistics.weight_statistics import Moments, merged, tensor_moments

_MCCANDLISH = "McCandlish et al. 2018, An Empirical Model of Large-Batch Training, arXiv 1812.06162"
_ELHUSSEIN = "Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829"
_SEARLE = "Searle, Casella & McCulloch 1992, Variance Components, ch. 3"
# The fewest examples of a block, if there are as many.
_FEWEST = 16
_CLIENT_METRICS = (
    "gradient_norm", "gradient_norm_debiased", "gradient_mean", "gradient_variance_parameters",
    "gradient_variance_examples", "gradient_noise_scale", "gradient_snr",
)  # fmt: skip
_SERVER_METRICS = ("between_client_variance", "within_client_variance", "variance_ratio")


class Gradients(Metric):
    """Gradient statistics of each client on a batch of its examples, and their variance between clients.

    Client half, per layer and for the whole model, in evaluation mode (no dropout, no augmentation, running batch
    norm statistics), on n examples drawn without replacement; g_i the gradient of example i's loss with
    respect to all parameters of the layer, ḡ their mean, v the numbers of ḡ that belong to no bias, N of them:

    - gradient_norm: ‖ḡ‖₂. Since E ‖ḡ‖² = |G|² + tr Σ / n it is the larger the fewer the examples; ``chance`` is
      √(tr Σ / n), what examples without a common direction give.
    - gradient_norm_debiased: |G| (below), which compares between clients of different n; missing unless |G|² > 0.
    - gradient_mean: v̄.
    - gradient_variance_parameters: Σ(v − v̄)² / (N − 1), the original's "gradient variance".
    - gradient_variance_examples: tr Σ = Σ_i ‖g_i − ḡ‖² / (n − 1), exact.
    - gradient_noise_scale: tr Σ / |G|² in examples, |G|² = ‖ḡ‖² − tr Σ / n unbiased; missing unless |G|² > 0.
    - gradient_snr: |G|² / tr Σ; 0 in expectation if the expected gradient is zero, and not below −1/n.

    Standard errors: delete-one-example jackknife.

    Server half, with client k's weight p_k in the server's mean (its share of the training examples, or 1 / K with
    ``weighting=uniform``), n_k its examples drawn, ḡ = Σ p_k ḡ_k:

    - between_client_variance: Σ p_k ‖ḡ_k − ḡ‖² − Σ p_k (1 − p_k) tr Σ_k / n_k, so that clients of equal
      distribution give 0 in expectation; negative estimates stay negative.
    - within_client_variance: Σ p_k tr Σ_k.
    - variance_ratio: between / (between + within), the share of the variance of one example's gradient that
      lies between clients.

    At ``after_aggregate`` all gradients are taken at the same weights, and this is heterogeneity of the data; where the
    clients have models of their own then, variance between them is missing. At ``after_local`` each client's are taken
    at its own weights. Standard errors there: delete-one-client jackknife,
    n = clients. Variant ``exact``, or ``sketch`` where gradients above the payload limit were sent as
    count-sketches (unbiased inner products; relative standard deviation of a squared norm √(2 / width)).

    Args:
        scope: ``client_train``, ``client_val`` or ``client_test``: where the examples come from.
        batch_examples: n, 2 or more; clients with fewer examples use all they have.
        blocks: the number of blocks, 2 or more; a pass runs over one block at a time, which bounds the memory. Few
            examples make fewer, of 16 or more: each costs a walk through all weights.
        rounds, moments: see :class:`metrics.base.Metric`.

    References:
        Goodfellow 2015, Efficient Per-Example Gradient Computations, arXiv 1510.01799; McCandlish et al. 2018,
        arXiv 1812.06162; Elhussein & Gürsoy 2025, arXiv 2502.08829; Searle, Casella & McCulloch 1992.
    """

    facts = (
        LossFacts("gradient_norm", "nat", 0.0, math.inf, "neutral", _MCCANDLISH, cost="pass"),
        LossFacts("gradient_norm_debiased", "nat", 0.0, math.inf, "neutral", _MCCANDLISH, cost="pass", minimum_n=2),
        LossFacts("gradient_mean", "nat", -math.inf, math.inf, "neutral", _ELHUSSEIN, cost="pass"),
        LossFacts("gradient_variance_parameters", "nat^2", 0.0, math.inf, "neutral", _ELHUSSEIN, cost="pass"),
        LossFacts(
            "gradient_variance_examples", "nat^2", 0.0, math.inf, "neutral", _MCCANDLISH, cost="pass", minimum_n=2
        ),
        Facts("gradient_noise_scale", "examples", 0.0, math.inf, "neutral", _MCCANDLISH, cost="pass", minimum_n=2),
        Facts("gradient_snr", "1", -0.5, math.inf, "neutral", _MCCANDLISH, cost="pass", minimum_n=2),
        LossFacts(
            "between_client_variance", "nat^2", -math.inf, math.inf, "neutral", _SEARLE, cost="pass", minimum_n=2
        ),
        LossFacts("within_client_variance", "nat^2", 0.0, math.inf, "neutral", _SEARLE, cost="pass", minimum_n=2),
        Facts("variance_ratio", "1", -math.inf, 1.0, "neutral", _SEARLE, cost="pass", minimum_n=2),
    )

    def __init__(
        self,
        scope: str = "client_train",
        batch_examples: int = 512,
        blocks: int = 8,
        rounds: Sequence[str | int] = ("first", "last"),
        moments: Sequence[str] = ("after_local", "after_aggregate"),
    ) -> None:
        super().__init__(rounds, moments)
        if scope not in ("client_train", "client_val", "client_test"):
            raise ValueError(f"scope must be client_train, client_val or client_test, got {scope!r}")
        for name, value in (("batch_examples", batch_examples), ("blocks", blocks)):
            if value < 2:
                raise ValueError(f"{name} must be 2 or more, got {value!r}")
        self.scope, self.batch_examples, self.blocks = scope, batch_examples, blocks

    def client(self, view: ClientView) -> Measurement:
        """Measure one client's gradients; the payload holds its mean gradient, tr Σ by layer, and n."""
        layers: list[Layer | None] = [*view.layers, None]
        if self.scope not in view.data:
            reason = f"no examples in {self.scope}"
            empty = [(name, layer) for layer in layers for name in _CLIENT_METRICS]
            return Measurement(
                [measured(name, math.nan, reason, scope=self.scope, n=0, **at(layer)) for name, layer in empty]
            )
        try:
            sample = gradient_sample(view, self.scope, self.batch_examples, self.blocks)
        except ValueError as error:  # a model whose examples have no gradients of their own
            unusable = [(name, layer) for layer in layers for name in _CLIENT_METRICS]
            return Measurement(
                [measured(name, math.nan, str(error), scope=self.scope, **at(layer)) for name, layer in unusable]
            )
        groups = [[layer] if layer else view.layers for layer in layers]
        found = scatters(sample, groups)
        weights = [p.name for layer in view.layers for p in layer.weights if sample.mean[p.name].numel()]
        parts = {name: tensor_moments(sample.mean[name]) for name in weights}
        rows: list[Row] = []
        for layer, group, of_group in zip(layers, groups, found, strict=True):
            own = [p.name for one in group for p in one.weights]
            spread = merged([parts[name] for name in own if name in parts])
            rows += _client_rows(sample.n, of_group, spread, layer, self.scope)
        usable = sample.n > 1 and math.isfinite(found[-1].trace)
        return Measurement(rows, _payload(view, sample, found[:-1]) if usable else {})

    def server(self, view: ServerView) -> Measurement:
        """Split the variance of the clients' gradients into between and within."""
        clients = sorted(view.payloads)
        if len(clients) < 2:
            reason = f"{len(clients)} of {len(view.clients)} clients sent usable gradients, 2 are needed"
            empty = [(name, layer) for layer in [*view.layers, None] for name in _SERVER_METRICS]
            return Measurement(
                [measured(name, math.nan, reason, scope=self.scope, **at(layer)) for name, layer in empty]
            )
        payloads = [view.payloads[client] for client in clients]
        shares = torch.tensor(view.shares(clients), dtype=torch.float64)
        sizes = torch.tensor([float(payload["n"][0]) for payload in payloads], dtype=torch.float64)
        traces = torch.tensor(np.stack([payload["trace"] for payload in payloads]))
        deviations = torch.stack([_deviations(payloads, layer, shares) for layer in view.layers], 1)
        sketched = [_is_sketch(payloads[0], layer) for layer in view.layers]
        apart = view.moment != "after_local" and not view.common_weights()
        rows: list[Row] = []
        for index, layer in enumerate([*view.layers, None]):
            last = layer is None
            found = decompose(
                deviations.sum(1) if last else deviations[:, index],
                traces.sum(1) if last else traces[:, index],
                sizes,
                shares,
            )
            variant = "sketch" if (any(sketched) if last else sketched[index]) else "exact"
            rows += _server_rows(found, apart, variant=variant, scope=self.scope, n=len(shares), **at(layer))
        return Measurement(rows)


def _server_rows(found: Decomposition, apart: bool, **columns: Any) -> list[Row]:
    """Return the rows of a layer; between clients that are apart, at weights of their own, there is nothing to tell."""
    between, ratio = (math.nan, math.nan) if apart else (found.between, found.ratio)
    why = "the clients' models differ: their gradients would not differ by the data alone" if apart else "not finite"
    nothing = why if apart else "no gradient varies"
    return [
        measured("between_client_variance", between, why, stderr=found.errors["between"], chance=0.0, **columns),
        measured("within_client_variance", found.within, stderr=found.errors["within"], **columns),
        measured("variance_ratio", ratio, nothing, stderr=found.errors["ratio"], chance=0.0, **columns),
    ]


def gradient_sample(view: ClientView, scope: str, batch_examples: int, blocks: int) -> GradientSample:
    """Return the per-example gradients of a batch of a client's examples, computed once per view.

    Args:
        view: the client.
        scope: a key of ``view.data``.
        batch_examples: examples drawn without replacement; all if there are fewer.
        blocks: into how many blocks they are split; fewer if these had less than 16 examples.
    """
    key = ("gradient_sample", scope, batch_examples, blocks)
    if key not in view.cache:
        view.cache[key] = done(_Sampling(view, scope, batch_examples, blocks))
    found: GradientSample = view.cache[key]
    return found


class _Sampling(MeasuringJob[GradientSample]):
    """The per-example gradients of a batch of a client's examples."""

    def __init__(self, view: ClientView, scope: str, batch_examples: int, blocks: int) -> None:
        self.examples = view.data[scope]
        order = torch.randperm(len(self.examples), generator=torch_generator(view.seed, f"gradients/{scope}"))
        self.chosen = order[:batch_examples]
        self.blocks = min(blocks, max(1, len(self.chosen) // _FEWEST))
        super().__init__(view, len(self.chosen))

    @property
    def kind(self) -> object:
        return self.blocks, [layer.name for layer in self.view.layers]

    def alone(self) -> GradientSample:
        view, batches = self.view, []
        for part in torch.split(self.chosen, block_sizes(self.size, self.blocks)):
            features, labels = self.examples.batch(part)
            batches.append((features.to(view.device), labels.to(view.device)))
        known = view.module_cache.setdefault("rehearsals", {})
        run = ExamplePass(view.module, view.layers, *batches[0], loss=view.objective, known=known)
        return sample_gradients(run, view.layers, batches)

    @classmethod
    def together(cls, jobs: Sequence[Self]) -> Sequence[GradientSample | Alone[GradientSample]]:
        view, sizes = jobs[0].view, block_sizes(jobs[0].size, jobs[0].blocks)
        examples, chosen = [job.examples for job in jobs], [job.chosen for job in jobs]
        batches = list(measured_batches(examples, chosen, sizes, view.device))
        first = batches[0].features[0], batches[0].labels[0]
        run = ExamplePass(view.module, view.layers, *first, loss=view.objective)
        if run.replayed:
            return [Alone(job.alone) for job in jobs]
        return stacked_samples(StackedPass(Models.of([job.view for job in jobs]), run.shapes), batches)


def _client_rows(n: int, found: GradientScatter, weights: Moments, layer: Layer | None, scope: str) -> list[Row]:
    """Return the rows of a layer; ``weights`` are the moments of what its mean gradient has for weights."""
    columns = {"scope": scope, "n": n, **at(layer)}
    single = "one example has no variance" if n < 2 else "not finite"
    signal = "the expected gradient is not distinguishable from zero" if found.signal <= 0 else single
    equal = single if found.trace != 0 else "all gradients are equal"
    values = (
        ("gradient_norm", found.norm, "not finite", found.errors["norm"]),
        ("gradient_norm_debiased", found.debiased, signal, found.errors["debiased"]),
        ("gradient_mean", weights.mean if weights.count else math.nan, "no weights", None),
        ("gradient_variance_parameters", weights.variance, "fewer than two weights", None),
        ("gradient_variance_examples", found.trace, single, found.errors["trace"]),
        ("gradient_noise_scale", found.noise_scale, signal, found.errors["noise_scale"]),
        ("gradient_snr", found.snr, equal, found.errors["snr"]),
    )
    chance = {"gradient_norm": found.noise} if math.isfinite(found.noise) else {}
    return [
        measured(name, value, reason, stderr=error, chance=chance.get(name), **columns)
        for name, value, reason, error in values
    ]


def _payload(view: ClientView, sample: GradientSample, scatters: Sequence[GradientScatter]) -> dict[str, np.ndarray]:
    sizes = [_size(layer) for layer in view.layers]
    # Two more arrays travel: a trace a layer and n, eight bytes each.
    widths = sketch_widths(sizes, (view.payload_limit_bytes - 8 * (len(sizes) + 1)) // 4)
    payload = {"n": np.array([sample.n]), "trace": np.array([found.trace for found in scatters])}
    for layer, size, width in zip(view.layers, sizes, widths, strict=True):
        vector = torch.cat([sample.mean[name].flatten() for name in layer.names])
        short = vector if width == size else count_sketch(vector, width, layer.name)
        payload[f"gradient/{layer.name}"] = short.float().cpu().numpy()
    return payload


def _size(layer: Layer) -> int:
    return sum(math.prod(parameter.shape) for parameter in layer.parameters)


def _is_sketch(payload: Mapping[str, np.ndarray], layer: Layer) -> bool:
    return len(payload[f"gradient/{layer.name}"]) < _size(layer)


def _deviations(payloads: Sequence[Mapping[str, np.ndarray]], layer: Layer, shares: Tensor) -> Tensor:
    """Return ‖g_k − ḡ‖² of every client, shape (K,), float64."""
    name = f"gradient/{layer.name}"
    mean = torch.zeros(len(payloads[0][name]), dtype=torch.float64)
    for share, payload in zip(shares.tolist(), payloads, strict=True):
        mean.add_(torch.tensor(payload[name]), alpha=share)
    squares = [float((torch.tensor(payload[name]) - mean).square().sum()) for payload in payloads]
    return torch.tensor(squares, dtype=torch.float64)
