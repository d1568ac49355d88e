"""From which layer on a client's own and the common model part: rows of what can be read out of each layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedlayers.core.records import Row, missing
from fedlayers.core.seeding import derive, torch_generator
from metrics.base import ClientView, at, measured
from metrics.disagreement.depth import disagreement_by_depth, layer_readout
from metrics.disagreement.per_record import record_disagreement
from metrics.heterogeneity.disagreements import SCOPE
from metrics.probe.activations import Activations, layer_outputs

LAYERS, PARTING = "disagreement_by_layer", "parting_layer"
# More examples make read-outs slower, not different.
_MOST = 1000
_FEWEST = 20


def depth_rows(view: ClientView, own: nn.Module, second: nn.Module | None) -> list[Row]:
    """Return how far read-outs of each layer of the own and the common model disagree, and where they begin to.

    Args:
        view: of the client, with the common model.
        own: the model that the client trained alone.
        second: another that differs by its seed only, for the null level; None if there is none.
    """
    examples = view.data[SCOPE]
    drawn = torch.randperm(len(examples), generator=torch_generator(view.seed, "read-outs"))[:_MOST].sort()[0]
    if len(drawn) < _FEWEST:
        return [missing(PARTING, f"{_FEWEST} examples or more are needed, got {len(drawn)}", scope=SCOPE)]
    models = [view.module, own, *([] if second is None else [second])]
    heard = [_heard(view, model, drawn) for model in models]
    known = [layer for layer in view.layers if all(layer.name in one.outputs for one in heard)]
    lacking = [layer for layer in view.layers if layer not in known]
    rows: list[Row] = [missing(LAYERS, _why(heard, layer.name), scope=SCOPE, **at(layer)) for layer in lacking]
    if not known:
        return [*rows, missing(PARTING, "no layer has an output that could be read out", scope=SCOPE)]
    labels = examples.targets(drawn)
    seed = derive(view.seed, "read-out halves")
    common, alone, *null = [
        [layer_readout(one.outputs[layer.name], labels, len(view.classes), seed) for layer in known] for one in heard
    ]
    if not null:
        for layer, p, q in zip(known, alone, common, strict=True):
            divergence = record_disagreement(p, q).divergence
            rows.append(measured(LAYERS, float(divergence.mean()), scope=SCOPE, n=len(drawn), **at(layer)))
        reason = "there is no second stand-alone model to tell chance by: metrics.heterogeneity.second=trained has one"
        return [*rows, missing(PARTING, reason, scope=SCOPE)]
    return [*rows, *_with_null(view, [layer.index for layer in known], alone, common, null[0])]


def _with_null(
    view: ClientView, known: Sequence[int], alone: Sequence[Tensor], common: Sequence[Tensor], null: Sequence[Tensor]
) -> list[Row]:
    found = disagreement_by_depth(alone, common, null)
    layers = {layer.index: layer for layer in view.layers}
    rows: list[Row] = [
        measured(LAYERS, one.value, scope=SCOPE, n=one.n, chance=one.null, p=one.p, **at(layers[index]))
        for index, one in zip(known, found.layers, strict=True)
    ]
    if found.parting is None:
        return [*rows, missing(PARTING, "the read-outs of no layer part more than those of two seeds", scope=SCOPE)]
    return [*rows, measured(PARTING, float(known[found.parting]), scope=SCOPE, n=found.layers[0].n)]


def _heard(view: ClientView, model: nn.Module, drawn: Tensor) -> Activations:
    examples = view.data[SCOPE]
    batches = (examples.batch(part)[0].to(view.device) for part in torch.split(drawn, view.batch_size))
    return layer_outputs(model, view.layers, batches, "pooled")


def _why(heard: Sequence[Activations], layer: str) -> str:
    return next(one.reasons[layer] for one in heard if layer in one.reasons)
