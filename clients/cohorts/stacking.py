"""Which clients cannot be stacked: layers that need a client's own batch or random numbers, and what vmap refuses."""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from clients.batches import gathered
from clients.cohorts.jobs import TrainingJob
from clients.network import Network, batch_norms, hold, training_mode
from fedlayers.core.cohorts.stacked import equal_but_rounding, stacked_outputs
from fedlayers.core.errors import one_line
from fedlayers.core.forward_order import left_alone

# Module -> the reason, None for none: a worker asks about its own ones round after round.
_known: "WeakKeyDictionary[nn.Module, str | None]" = WeakKeyDictionary()


def why_not_stacked(job: TrainingJob) -> str | None:
    """Return why a client's network cannot be stacked with its like, None if it can.

    Outputs of two clients as one are compared with those of each by itself, on the client's first two examples.
    """
    network = job.learner.networks[0]
    if network.module not in _known:
        _known[network.module] = _named(network) or _tried(network, job)
    return _known[network.module]


def _named(network: Network) -> str | None:
    """Return the reason that a part of a network is, as far as it can be seen."""
    name = type(network.module).__name__
    if batch_norms(network.module):
        return f"{name} has batch normalisation, whose statistics are of whole batches"
    if any(isinstance(part, _DropoutNd) and part.p > 0 for part in network.module.modules()):
        return f"{name} has dropout, which draws for each client by itself"
    if any(tensor.is_complex() for tensor in network.parameters.values()):
        return f"{name} has complex weights"
    return None


def _tried(network: Network, job: TrainingJob) -> str | None:
    """Return why a stacked step fails, or differs from that of each client by itself."""
    name = type(network.module).__name__
    generator = torch.Generator().manual_seed(0)
    chosen = torch.arange(min(2, len(job.examples)))
    features = gathered(job.examples, chosen, None, generator, job.device).features
    # Two clients that differ: a part that mixes them, or reads the module's own tensors, is seen.
    clients = [{n: tensor.detach() * factor for n, tensor in network.parameters.items()} for factor in (1.0, 0.5)]
    buffers = {n: tensor.detach().clone() for n, tensor in network.buffers.items()}
    try:
        with left_alone(network.module), training_mode([network.module], frozen_norms=False):
            alone = torch.stack([_alone(network.module, own, buffers, features) for own in clients])
            filled = _alone(network.module, clients[0], buffers, torch.cat([features, features[:1]]))
            stacked = {n: torch.stack([own[n] for own in clients]).requires_grad_() for n in clients[0]}
            kept = {n: torch.stack([tensor, tensor]) for n, tensor in buffers.items()}
            outputs = stacked_outputs(network.module, stacked, kept, torch.stack([features, features]))
            torch.autograd.grad(outputs.sum(), list(stacked.values()), allow_unused=True)
    except Exception as error:
        return f"a stacked step of {name} fails ({one_line(error)})"
    if not equal_but_rounding(outputs, alone):
        return f"the outputs of {name} differ where clients are stacked"
    if not equal_but_rounding(filled[: len(features)], alone[0]):
        return f"the outputs of {name} for an example depend on the others of its batch"
    return None


def _alone(module: nn.Module, parameters: dict[str, Tensor], buffers: dict[str, Tensor], features: Tensor) -> Tensor:
    """Return the outputs of one network by itself.

    Raises:
        RuntimeError: it changes its buffers.
    """
    network = Network(module, parameters, {name: tensor.clone() for name, tensor in buffers.items()})
    outputs = hold([network], lambda: network(features)).detach()
    if any(not torch.equal(tensor, buffers[name]) for name, tensor in network.buffers.items()):
        raise RuntimeError("buffers change in training")
    return outputs
