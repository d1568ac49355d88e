"""Resources of an epoch as rows of a run's tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedlayers.core.records import Resource, Row


def resource_rows(epoch: Any, flops: Mapping[str, float], layers: Sequence[str]) -> list[Row]:
    """Return a row a quantity; ``subject`` of a component's time is its name, of operations ``layer`` the layer.

    Args:
        epoch: :class:`metrics.resource_usage.monitor.EpochResources`.
        flops: module -> operations of a forward pass of one example.
        layers: names of the model's layers, in order.
    """
    memory = epoch.memory
    single = (
        ("epoch_s", epoch.time, "s"),
        ("training_s", epoch.training_time, "s"),
        ("throughput", epoch.throughput, "examples/s"),
        ("host_memory", memory.host, "bytes"),
        ("peak_host_memory", epoch.peak_host, "bytes"),
        ("gpu_memory", memory.allocated, "bytes"),
        ("peak_gpu_memory", memory.peak_allocated, "bytes"),
        ("peak_gpu_reserved", memory.peak_reserved, "bytes"),
        ("energy", epoch.energy_j, "J"),
        ("gpu_utilisation", epoch.gpu_utilisation, "1"),
    )
    found: list[Row] = [Resource(name, float(value), unit) for name, value, unit in single if value is not None]
    for name, spent in epoch.components.items():
        found.append(Resource("component_s", spent.seconds, "s", subject=name))
        found.append(Resource("component_own_s", spent.own_seconds, "s", subject=name))
    found += [
        Resource("forward_flops", float(flops[name]), "FLOP", layer=name, layer_index=at)
        for at, name in enumerate(layers)
        if name in flops
    ]
    return found
