"""How the loss curves along each layer's parameters: eigenvalues, trace and density of its Hessian block."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from fedlayers.core.layers import Layer, total
from fedlayers.core.quantities import LossFacts
from fedlayers.core.records import Row, Spectrum
from fedlayers.core.seeding import torch_generator
from metrics.base import ClientView, Facts, Measurement, Metric, at, measured
from metrics.hessian.block import Effort, HessianBlock, analyse_block
from metrics.hessian.products import GradientGraph
from metrics.hessian.stacked import LossGraph, loss_graph

_GHORBANI = "Ghorbani, Krishnan & Xiao 2019, arXiv 1901.10159"
_YAO = "Yao et al. 2020, PyHessian, arXiv 1912.07145"
_HUTCHINSON = "Hutchinson 1989, Communications in Statistics 19"
# How many times as many parameters a linear layer may have to be computed whole.
_LINEAR_TIMES = 8
_SUMMARIES = ("hessian_negative_share", "hessian_nuclear", "hessian_singular_skewness", "hessian_singular_share_small")


class Curvature(Metric):
    """The Hessian block of each layer: second derivatives of the mean loss of a batch of a client's examples.

    In evaluation mode (no dropout, no augmentation, running batch norm statistics), with respect to all d parameters
    of the layer, in nat of loss per squared unit of the parameters; λ_i its eigenvalues, |λ_i| its singular values:

    - hessian_eigenvalue: the ``eigenvalues`` of largest magnitude, signed; ``subject`` 1 is the largest. By Lanczos'
      method; missing where the residual is not below ``tolerance`` of the largest after ``steps`` products. New
      starting vectors look for values that the first has missed, such as equal ones.
    - hessian_operator_norm: max |λ_i|.
    - hessian_trace: Σ λ_i by Hutchinson's method, standard error over n random probes; also for the whole model
      (the blocks' sum is the trace of the full Hessian). hessian_trace_per_parameter: the same / d.
    - hessian_frobenius: √(Σ λ_i²) from the same probes.
    - hessian_nuclear: Σ |λ_i|. hessian_negative_share: Σ_{λ<0} |λ_i| / Σ |λ_i|. hessian_singular_skewness: of the
      |λ_i|. hessian_singular_share_small: share of |λ_i| below 1 % of the largest. The eigenvalues that are known, and
      for the rest stochastic Lanczos quadrature (:func:`metrics.hessian.density.summaries`); the standard error over
      n = ``density_runs`` runs holds that of the quadrature.
    - hessian_condition: max |λ_i| / min |λ_i|; a row only for blocks that were computed whole, since nothing less
      resolves the smallest eigenvalue.
    - hessian_density (in ``spectra/``): x eigenvalues, y their density, n runs.

    ``variant`` is ``exact`` for a block of ``dense_below`` parameters or fewer, of a linear layer eight times as many,
    which is computed whole; else ``lanczos``. A network that is piecewise linear in one layer's parameters (ReLU,
    max-pooling) has no negative curvature within a layer: its block is the Gauss-Newton matrix.

    Args:
        scope: examples to differentiate: ``client_train``, ``client_val`` or ``client_test``.
        batch_examples: examples drawn without replacement; all if there are fewer.
        eigenvalues: how many, 1 or more.
        steps: Lanczos steps at most, more than ``eigenvalues``.
        tolerance: residual that counts as converged, in (0, 1).
        probes: fewest and most probes for the trace, 2 or more.
        trace_tolerance: standard error of the trace, as a share of it, that ends the probing; 0 for all probes.
        density_runs: Lanczos runs behind densities and sums over the spectrum, 0 or more; 0 leaves them out.
        density_steps: steps of each run, 2 or more.
        dense_below: see above, 0 or more.
        rounds, moments: see :class:`metrics.base.Metric`.

    References:
        Pearlmutter 1994; Hutchinson 1989; Ghorbani et al. 2019, arXiv 1901.10159; Yao et al. 2020, arXiv 1912.07145;
        Botev, Ritter & Barber 2017, Practical Gauss-Newton Optimisation, arXiv 1706.03662 (piecewise linear networks).
    """

    facts = (
        LossFacts("hessian_eigenvalue", "nat", -math.inf, math.inf, "neutral", _YAO, cost="heavy"),
        LossFacts("hessian_operator_norm", "nat", 0.0, math.inf, "neutral", _YAO, cost="heavy"),
        LossFacts("hessian_trace", "nat", -math.inf, math.inf, "neutral", _HUTCHINSON, cost="heavy"),
        LossFacts("hessian_trace_per_parameter", "nat", -math.inf, math.inf, "neutral", _HUTCHINSON, cost="heavy"),
        LossFacts("hessian_frobenius", "nat", 0.0, math.inf, "neutral", _HUTCHINSON, cost="heavy"),
        LossFacts("hessian_nuclear", "nat", 0.0, math.inf, "neutral", _GHORBANI, cost="heavy"),
        Facts("hessian_negative_share", "1", 0.0, 1.0, "neutral", _GHORBANI, cost="heavy"),
        Facts("hessian_singular_skewness", "1", -math.inf, math.inf, "neutral", _GHORBANI, cost="heavy"),
        Facts("hessian_singular_share_small", "1", 0.0, 1.0, "neutral", _GHORBANI, cost="heavy"),
        Facts("hessian_condition", "1", 1.0, math.inf, "neutral", _YAO, cost="heavy"),
        Facts("hessian_density", "1/nat", 0.0, math.inf, "neutral", _GHORBANI, cost="heavy"),
    )

    def __init__(
        self,
        scope: str = "client_train",
        batch_examples: int = 128,
        eigenvalues: int = 5,
        steps: int = 40,
        tolerance: float = 0.001,
        probes: Sequence[int] = (8, 12),
        trace_tolerance: float = 0.05,
        density_runs: int = 4,
        density_steps: int = 8,
        dense_below: int = 64,
        rounds: Sequence[str | int] = ("first", "last"),
        moments: Sequence[str] = ("after_local",),
    ) -> None:
        super().__init__(rounds, moments)
        if scope not in ("client_train", "client_val", "client_test"):
            raise ValueError(f"scope must be client_train, client_val or client_test, got {scope!r}")
        counts = {
            "batch_examples": (batch_examples, 1), "eigenvalues": (eigenvalues, 1), "steps": (steps, eigenvalues + 1),
            "density_runs": (density_runs, 0), "density_steps": (density_steps, 2), "dense_below": (dense_below, 0),
        }  # fmt: skip
        for name, (value, least) in counts.items():
            if value < least:
                raise ValueError(f"{name} must be {least} or more, got {value!r}")
        if not 0 < tolerance < 1:
            raise ValueError(f"tolerance must be in (0, 1), got {tolerance!r}")
        if not 0 <= trace_tolerance < math.inf:
            raise ValueError(f"trace_tolerance must be 0 or more, got {trace_tolerance!r}")
        if len(probes) != 2 or not 2 <= probes[0] <= probes[1]:
            raise ValueError(f"probes must be two numbers, 2 or more and ascending, got {list(probes)!r}")
        self.scope, self.batch_examples = scope, batch_examples
        pair = (probes[0], probes[1])
        self.effort = Effort(
            eigenvalues, steps, tolerance, pair, trace_tolerance, density_runs, density_steps, dense_below
        )

    def client(self, view: ClientView) -> Measurement:
        """Measure every layer of one client's model."""
        if self.scope not in view.data:
            reason = f"no examples in {self.scope}"
            return Measurement([row for layer in view.layers for row in self._missing(layer, reason, 0)])
        examples = view.data[self.scope]
        order = torch.randperm(len(examples), generator=torch_generator(view.seed, "curvature/batch"))
        chosen = order[: self.batch_examples]
        graph = loss_graph(view, self.scope, chosen)
        rows: list[Row] = []
        blocks: list[HessianBlock] = []
        for layer in view.layers:
            try:
                block = self._block(graph, layer, view)
            except (ValueError, RuntimeError) as error:
                rows += self._missing(layer, " ".join(str(error).split())[:300], len(chosen))
                continue
            blocks.append(block)
            rows += self._rows(block, layer)
        if len(blocks) == len(view.layers):
            rows.append(self._whole_model(blocks))
        return Measurement(rows)

    def rehearse(self, view: ClientView) -> None:
        """Take the gradient and one product of every layer."""
        features, labels = next(iter(view.data.values())).batch(torch.arange(1))
        graph = GradientGraph(
            view.module, view.layers, features.to(view.device), labels.to(view.device), view.objective
        )
        for layer in view.layers:
            graph.product(layer, [view.parameters[name] for name in layer.names])

    def _block(self, graph: LossGraph, layer: Layer, view: ClientView) -> HessianBlock:
        if not total([layer]):
            raise ValueError("it has no numbers")
        if not graph.is_used(layer):
            raise ValueError("the loss does not depend on it")
        like = torch.cat([view.parameters[name].flatten() for name in layer.names])
        generator = torch_generator(view.seed, f"curvature/{layer.name}")
        # The products of a linear layer share their work, so that many cost little.
        least = self.effort.dense_below * (_LINEAR_TIMES if layer.kind == "linear" else 1)
        effort = replace(self.effort, dense_below=least)
        return analyse_block(lambda vectors: graph.products(layer, vectors), like, effort, generator)

    def _rows(self, block: HessianBlock, layer: Layer) -> list[Row]:
        columns = {"scope": self.scope, "variant": "exact" if block.exact else "lanczos", **at(layer)}
        trace, size = block.trace, block.size
        probed = {**columns, "n": trace.probes}
        slow = f"not converged after {self.effort.steps} steps; raise metrics.curvature.steps"
        rows: list[Row] = [
            measured("hessian_trace", trace.trace, stderr=trace.trace_error, **probed),
            measured("hessian_trace_per_parameter", trace.trace / size, stderr=trace.trace_error / size, **probed),
            measured("hessian_frobenius", trace.frobenius, stderr=trace.frobenius_error, **probed),
            measured("hessian_operator_norm", abs(block.top[0]) if block.converged[0] else math.nan, slow, **columns),
        ]
        for place, (value, known) in enumerate(zip(block.top, block.converged, strict=True), 1):
            found = float(value) if known else math.nan
            rows.append(measured("hessian_eigenvalue", found, slow, subject=str(place), **columns))
        if block.exact:
            rows.append(measured("hessian_condition", block.condition, "the block is singular", **columns))
        return rows + self._spectrum_rows(block, columns)

    def _spectrum_rows(self, block: HessianBlock, columns: dict[str, object]) -> list[Row]:
        """Return what the runs say about the whole spectrum."""
        if block.summaries is None or block.density is None:
            return []
        found, runs = block.summaries, None if block.exact else self.effort.density_runs
        spreads = (found.negative_share, found.nuclear, found.skewness, found.small_share)
        rows: list[Row] = [
            measured(name, one.value, "all eigenvalues are equal or zero", stderr=one.error, n=runs, **columns)
            for name, one in zip(_SUMMARIES, spreads, strict=True)
        ]
        x, y = (values.tolist() for values in block.density)
        rows.append(Spectrum("hessian_density", x, y, n=runs, **columns))  # type: ignore[arg-type]
        return rows

    def _whole_model(self, blocks: Sequence[HessianBlock]) -> Row:
        """Return the trace of the whole model's Hessian: the blocks' sum."""
        error = math.sqrt(sum(block.trace.trace_error**2 for block in blocks))
        n = min(block.trace.probes for block in blocks)
        return measured("hessian_trace", sum(b.trace.trace for b in blocks), stderr=error, n=n, scope=self.scope)

    def _missing(self, layer: Layer, reason: str, n: int) -> list[Row]:
        left_out = ("hessian_density", "hessian_condition")
        names = [fact.name for fact in self.facts if fact.name not in left_out]
        return [measured(name, math.nan, reason, scope=self.scope, n=n, **at(layer)) for name in names]
