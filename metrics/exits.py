"""Early exits: how well each stage answers by itself, which one to answer from, and what that saves."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fedlayers.core.anchors import Anchors, anchors_of
from fedlayers.core.cost import multiply_adds_in
from fedlayers.core.kinds.labels import SEVERAL_LABELS, is_label_set
from fedlayers.core.layers import Layer
from fedlayers.core.records import MOMENTS, Row
from fedlayers.core.stages import applied, head, pooled, readouts_of, representations, stages
from metrics.base import ClientView, ExampleSet, Facts, Measurement, Metric, at, measured

_OWN = "own definition"
_TEERAPITTAYANON = "Teerapittayanon et al. 2016, BranchyNet, arXiv:1709.01686"


class Exits(Metric):
    """Accuracy of what each stage answers, and of the earliest stage that is about as good as the best.

    A stage answers by the model's own readout (an anchor, a classifier), or by orthonormal anchors that the run's seed
    draws; a head that answers for the model is the last exit. ``exit_accuracy`` and ``exit_cost`` (the share of the
    whole network's multiply-adds that an example needs to get there) have a row for each exit, at its last layer with
    weights. ``early_exit_…`` are of the exit that is chosen on validation examples, the first whose accuracy there
    comes within ``tolerance`` of the best, and scored on test examples: its number from 1, its accuracy, and the share
    of multiply-adds that it saves. The server has no validation examples: it tells each exit's accuracy alone.

    Args:
        tolerance: how much validation accuracy an earlier exit may cost, in [0, 1).
        rounds, moments: see :class:`metrics.base.Metric`.
    """

    facts = (
        Facts("exit_accuracy", "1", 0.0, 1.0, "higher", _OWN, cost="pass"),
        Facts("exit_cost", "1", 0.0, math.inf, "lower", "multiply-adds of layers with weights, and of anchors"),
        Facts("early_exit", "1", 1.0, math.inf, "neutral", _TEERAPITTAYANON, cost="pass"),
        Facts("early_exit_accuracy", "1", 0.0, 1.0, "higher", _TEERAPITTAYANON, cost="pass"),
        Facts("early_exit_saved", "1", 0.0, 1.0, "higher", _TEERAPITTAYANON),
    )
    on_server = True
    repeats = True

    def __init__(
        self,
        tolerance: float = 0.0,
        rounds: Sequence[str | int] = ("last",),
        moments: Sequence[str] = MOMENTS,
    ) -> None:
        super().__init__(rounds, moments)
        if not 0 <= tolerance < 1:
            raise ValueError(f"tolerance must be in [0, 1), got {tolerance!r}")
        self.tolerance = tolerance

    def check_model(self, module: nn.Module) -> None:
        """Raise UserError for a model without stages."""
        stages(module)

    def client(self, view: ClientView) -> Measurement:
        """Measure every exit on validation and test examples, on the server on its test set."""
        on_server = "server_test" in view.data
        scopes = ["server_test"] if on_server else ["client_val", "client_test"]
        layers = _layers(view)
        found = {scope: _accuracies(view, view.data[scope]) for scope in scopes if scope in view.data}
        rows: list[Row] = [
            measured("exit_accuracy", value, scope=scope, n=n, stderr=_error(value, n), **at(layer))
            for scope, values in found.items()
            for n in [len(view.data[scope])]
            for layer, value in zip(layers, values, strict=True)
        ]
        if on_server or not found:
            return Measurement(rows)
        costs = _costs(view, view.data[next(iter(found))])
        rows += [measured("exit_cost", cost, **at(layer)) for layer, cost in zip(layers, costs, strict=True)]
        return Measurement(rows + self._chosen(view, found, costs))

    def _chosen(self, view: ClientView, found: Mapping[str, Sequence[float]], costs: Sequence[float]) -> list[Row]:
        """Return the rows of the exit that validation chooses."""
        names = ("early_exit", "early_exit_accuracy", "early_exit_saved")
        missing = next((scope for scope in ("client_val", "client_test") if scope not in found), None)
        if missing is not None:
            return [measured(name, math.nan, f"no examples in {missing}", scope="client_test") for name in names]
        validation, n = found["client_val"], len(view.data["client_test"])
        place = next(i for i, value in enumerate(validation) if value >= max(validation) - self.tolerance)
        accuracy = found["client_test"][place]
        return [
            measured("early_exit", place + 1, scope="client_val", n=len(view.data["client_val"])),
            measured("early_exit_accuracy", accuracy, scope="client_test", n=n, stderr=_error(accuracy, n)),
            measured("early_exit_saved", max(0.0, 1 - costs[place]), scope="client_val"),
        ]


def _error(accuracy: float, n: int) -> float:
    return math.sqrt(accuracy * (1 - accuracy) / n)


def _has_head(module: nn.Module) -> bool:
    """Say whether something answers behind the stages that is no stage's readout."""
    return readouts_of(module) is None and bool(head(module))


def _layers(view: ClientView) -> list[Layer]:
    """Return the layer at which each exit's row stands."""
    by_name = {layer.name: layer for layer in view.layers}
    found = [by_name[stage.name] for stage in stages(view.module)]
    return [*found, view.layers[-1]] if _has_head(view.module) else found


def _readouts(view: ClientView, given: Sequence[Tensor]) -> Sequence[nn.Module]:
    own = readouts_of(view.module)
    widths = [pooled(h).shape[1] for h in given]
    return own or anchors_of(view.module, widths, len(view.classes), view.run_seed)


@torch.no_grad()
def _accuracies(view: ClientView, examples: ExampleSet) -> list[float]:
    """Return the accuracy of each exit on some examples."""
    parts, last = stages(view.module), head(view.module) or ()
    right: Tensor | None = None
    for chosen in torch.split(torch.arange(len(examples)), view.batch_size):
        features, labels = (own.to(view.device) for own in examples.batch(chosen))
        if is_label_set(labels):
            raise ValueError(SEVERAL_LABELS)
        given = list(representations(parts, features))
        answers = [readout(h) for readout, h in zip(_readouts(view, given), given, strict=True)]
        if _has_head(view.module):
            answers.append(applied(last, given[-1]))
        hits = torch.stack([(logits.argmax(1) == labels).sum() for logits in answers])
        right = hits if right is None else right + hits
    assert right is not None
    return [int(hits) / len(examples) for hits in right]


@torch.no_grad()
def _costs(view: ClientView, examples: ExampleSet) -> list[float]:
    """Return the share of the network's multiply-adds up to each exit, what answers there included."""
    h = examples.batch(torch.zeros(1, dtype=torch.int64))[0].to(view.device)
    parts, last = stages(view.module), head(view.module) or ()
    so_far, costs, given = 0, [], list(representations(parts, h))
    for stage, before, after, readout in zip(parts, [h, *given], given, _readouts(view, given), strict=False):
        so_far += multiply_adds_in(stage.modules, lambda stage=stage, before=before: stage(before))  # type: ignore[misc]
        costs.append(so_far + _cost_of(readout, after))
    if _has_head(view.module):
        costs.append(so_far + multiply_adds_in(last, lambda: applied(last, given[-1])))
    return [cost / costs[-1] for cost in costs]


def _cost_of(readout: nn.Module, h: Tensor) -> int:
    if isinstance(readout, Anchors):
        return readout.classes * readout.width
    return multiply_adds_in([readout], lambda: readout(h))
