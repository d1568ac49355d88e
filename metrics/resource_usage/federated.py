"""Resources in a federation: what a client's work on each message takes, and what travels."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from fedlayers.core.layers import ROOT, Layer
from fedlayers.core.quantities import Facts
from fedlayers.core.records import Resource, Row
from metrics.base import Metric, at
from metrics.resource_usage.flops import forward_flops

_OWN = "own definition"
FACTS = (
    Facts("message_s", "s", 0.0, math.inf, "lower", _OWN),
    Facts("component_s", "s", 0.0, math.inf, "lower", _OWN),
    Facts("component_own_s", "s", 0.0, math.inf, "lower", _OWN),
    Facts("throughput", "examples/s", 0.0, math.inf, "higher", _OWN),
    Facts("host_memory", "bytes", 0.0, math.inf, "lower", "resident set of the process"),
    Facts("peak_host_memory", "bytes", 0.0, math.inf, "lower", "largest resident set of the process so far"),
    Facts("gpu_memory", "bytes", 0.0, math.inf, "lower", "torch.cuda.memory_allocated"),
    Facts("peak_gpu_memory", "bytes", 0.0, math.inf, "lower", "torch.cuda.max_memory_allocated"),
    Facts("peak_gpu_reserved", "bytes", 0.0, math.inf, "lower", "torch.cuda.max_memory_reserved"),
    Facts("energy", "J", 0.0, math.inf, "lower", "nvmlDeviceGetTotalEnergyConsumption"),
    Facts("gpu_utilisation", "1", 0.0, 1.0, "neutral", "nvmlDeviceGetUtilizationRates"),
    Facts("bytes_received", "bytes", 0.0, math.inf, "lower", _OWN),
    Facts("bytes_sent", "bytes", 0.0, math.inf, "lower", _OWN),
    Facts("bytes_measured", "bytes", 0.0, math.inf, "lower", _OWN),
    Facts("forward_flops", "FLOP", 0.0, math.inf, "lower", "torch.utils.flop_counter", cost="cheap"),
)


class ResourceUsage(Metric):
    """Time, memory, energy, throughput, bytes and operations of each client and message, rows of ``resources/``.

    - message_s: wall time of the client's work on a message, its own share where several clients work as one.
    - component_s, component_own_s: of its parts (``subject``), with and without the parts inside them: ``unpack``,
      ``train``, ``measure``, ``pack`` and ``other``; inside ``train`` and ``measure`` each metric's.
    - throughput: examples trained on, each time it was seen, by seconds of training.
    - host_memory, gpu_memory: at the end of the work; peak_…: the highest of the process so far, of the GPU while the
      message was worked on.
    - energy, gpu_utilisation: of the whole GPU meanwhile, where NVML gives them.
    - bytes_received, bytes_sent: numbers of the model by layer, of other records beside it (``subject``), and without
      layer and subject all together; bytes_measured: what metrics add to the reply, without the times they took.
    - forward_flops: operations of a forward pass of one example, by layer and as a whole; counted once, at ``start``.

    Args:
        rounds, moments: see :class:`metrics.base.Metric`.
    """

    facts = FACTS
    of_messages = True

    def __init__(
        self, rounds: Sequence[str | int] = ("all",), moments: Sequence[str] = ("after_local", "after_aggregate")
    ) -> None:
        super().__init__(rounds, moments)

    def network(self, module: nn.Module, layers: Sequence[Layer], features: Tensor) -> list[Row]:
        """Count the operations of a forward pass of one example."""
        flops = forward_flops(module, features)
        known = [layer for layer in layers if layer.name in flops]
        rows: list[Row] = [Resource("forward_flops", float(flops[x.name]), "FLOP", **at(x)) for x in known]
        return [*rows, Resource("forward_flops", float(flops[ROOT]), "FLOP")]
