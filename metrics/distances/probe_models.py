"""Representations of the probe as models between which there are distances: how clients send them, who has which."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from metrics.base import ClientView, Measurement, ServerView
from metrics.distances.participants import Owner, Participants
from metrics.distances.representations import representation_layer
from metrics.distances.weights.participant import Client
from metrics.probe.activations import probe_activations
from metrics.probe.payload import (
    compact_outputs,
    examples_in,
    global_outputs,
    packed,
    too_large,
    unpacked,
    without_output,
)

# What is sent in place of a layer's output, and why.
_TOO_LARGE, _NOT_FINITE = torch.zeros(0), torch.full((1,), torch.nan)
_TOO_LARGE_REASON = "needs whole activations, too large to send; lower probe.size or raise metrics.payload_mb"
_NOT_FINITE_REASON = "its output is not finite"
_NOTHING_REASON = "there is no output of it on the probe"


def send_representations(view: ClientView, positions: str, metrics: Iterable[str]) -> Measurement:
    """Return every layer's output on the probe as payload, and missing values for layers that have none.

    Args:
        view: one model of a client.
        positions: see :func:`metrics.probe.activations.layer_outputs`.
        metrics: what is missing where a layer has no output.
    """
    outputs = compact_outputs(view, positions)
    large = too_large(outputs, view.payload_limit_bytes)
    sent = {name: _TOO_LARGE if name in large else output for name, output in outputs.items()}
    # A layer that never has an output is left out by all clients alike; a diverged one must not be.
    reasons = probe_activations(view, positions).reasons
    sent |= {name: _NOT_FINITE for name, reason in reasons.items() if reason == _NOT_FINITE_REASON}
    return Measurement(without_output(view, positions, metrics), packed(sent, view))


def by_representations(view: ServerView, positions: str, global_models: Sequence[str]) -> Participants:
    """Return the representations that clients sent with :func:`send_representations`, and the global models'.

    The layers are those of which anybody has an output.

    Args:
        view: its payloads are those of this metric.
        positions: the same as the clients'.
        global_models: which of ``received`` and ``aggregated``; those that the view has not are left out.
    """
    if not view.payloads:
        return Participants((), (), 0, refusal=f"no client sent representations of the probe at round {view.round}")
    names = [name for relation in global_models for name in view.names_given(relation)]
    outputs: dict[Owner, dict[str, Tensor]] = {
        client: unpacked(view.payloads.get(client, {}), view.layers) for client in view.clients
    }
    outputs |= {name: global_outputs(view, name, positions) for name in names}
    layers = [layer for layer in view.layers if any(layer.name in found for found in outputs.values())]
    examples = examples_in(view.payloads)
    absent = {
        (owner, layer.name): reason
        for owner, found in outputs.items()
        for layer in layers
        if (reason := _why_absent(found.get(layer.name)))
    }
    nothing = torch.full((examples, 1), torch.nan)
    clients = []
    for owner, found in outputs.items():
        values = [nothing if (owner, layer.name) in absent else found[layer.name] for layer in layers]
        pairs = zip(layers, values, strict=True)
        clients.append(Client(tuple(representation_layer(layer.name, layer.kind, value) for layer, value in pairs)))
    return Participants(tuple(outputs), tuple(clients), examples, absent, given=view.given)


def _why_absent(output: Tensor | None) -> str | None:
    if output is None:
        return _NOTHING_REASON
    if output.ndim > 1:
        return None
    return _NOT_FINITE_REASON if len(output) else _TOO_LARGE_REASON
