"""Representations of the probe as models between which there are distances: how clients send them, who has which."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from metrics.base import ClientView, Measurement, ServerView
from metrics.distances.participants import Owner, Participants
from metrics.distances.representations import representation_layer
from metrics.distances.weights.participant import Client
from metrics.probe.payload import (
    examples_behind,
    global_outputs,
    sent_outputs,
    shared_outputs,
    why_absent,
    without_output,
)


def send_representations(view: ClientView, positions: str, metrics: Iterable[str]) -> Measurement:
    """Return every layer's output on the probe to share, and missing values for layers that have none.

    Args:
        view: one model of a client.
        positions: see :func:`metrics.probe.activations.layer_outputs`.
        metrics: what is missing where a layer has no output.
    """
    return Measurement(without_output(view, positions, metrics), shared=shared_outputs(view, positions))


def by_representations(view: ServerView, positions: str, global_models: Sequence[str]) -> Participants:
    """Return the representations that clients sent with :func:`send_representations`, and the global models'.

    The layers are those of which anybody has an output.

    Args:
        view: with what clients shared.
        positions: the same as the clients'.
        global_models: which of ``received`` and ``aggregated``; those that the view has not are left out.
    """
    sent = sent_outputs(view, positions)
    if not sent:
        return Participants((), (), 0, refusal=f"no client sent representations of the probe at round {view.round}")
    names = [name for relation in global_models for name in view.names_given(relation)]
    outputs: dict[Owner, dict[str, Tensor]] = {client: sent.get(client, {}) for client in view.clients}
    outputs |= {name: global_outputs(view, name, positions) for name in names}
    layers = [layer for layer in view.layers if any(layer.name in found for found in outputs.values())]
    examples = examples_behind(view, positions)
    absent = {
        (owner, layer.name): reason
        for owner, found in outputs.items()
        for layer in layers
        if (reason := why_absent(found.get(layer.name)))
    }
    nothing = torch.full((examples, 1), torch.nan)
    clients = []
    for owner, found in outputs.items():
        values = [nothing if (owner, layer.name) in absent else found[layer.name] for layer in layers]
        pairs = zip(layers, values, strict=True)
        clients.append(Client(tuple(representation_layer(layer.name, layer.kind, value) for layer, value in pairs)))
    return Participants(tuple(outputs), tuple(clients), examples, absent, given=view.given)
