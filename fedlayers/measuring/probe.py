"""Whether a run has a probe, and of how many examples: it has one if a metric uses it."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from fedlayers.config.schema.settings import Config
from fedlayers.core.checks import check
from fedlayers.core.federation import Examples, Federation
from fedlayers.core.forward_order import left_alone
from fedlayers.core.kinds.tokens import mask_of
from fedlayers.core.layers import as_written
from fedlayers.data.probe import MOST_EXAMPLES, probe_examples
from metrics.base import Metric
from metrics.probe.positions import WITH_PADDING, counts_padding
from metrics.resource_usage.operations import ALL, operations_of

# A pass over the probe takes so many operations at most, two seconds of one processor: every client makes one whenever
# representations are compared, and a thousand pictures through ResNet-18 take ten times as long as training on fifty.
_PASS_OPERATIONS = 2**37
_FEWEST_EXAMPLES = 128


def probe_for(
    metrics: Mapping[str, Metric], config: Config, federation: Federation, module: nn.Module
) -> Examples | None:
    """Return the probe of a run, None if none of its metrics uses one.

    :func:`fedlayers.data.probe.probe_examples` says how it is drawn. ``probe.size=null`` leaves its size to
    :func:`affordable_examples`.

    Raises:
        UserError: positions of tokens are to be samples, and some are padding.
    """
    if not any(metric.uses_probe for metric in metrics.values()):
        return None
    probe = config.probe
    if probe.size is None:
        device = next((parameter.device for parameter in module.parameters()), None)
        probe = replace(probe, size=affordable_examples(module, federation.blank(2, device)))
    found = probe_examples(probe, federation, config.seed)
    for name, metric in metrics.items():
        positions = (config.metrics.get(name) or {}).get("positions")
        if metric.uses_probe and positions == "samples":
            mask = mask_of(found.batch(torch.arange(len(found)))[0])
            check(not counts_padding(positions, mask), f"metrics.{name}.positions", WITH_PADDING, positions)
    return found


def affordable_examples(module: nn.Module, features: Tensor) -> int:
    """Return how many examples pass a model for about 140 billion operations, 128 to 1,000 of them.

    Operations are those of matrix products, convolutions and attention: the same on every machine.

    Args:
        module: in eval mode; it is left as found.
        features: some examples, shape (n, *shape), on the model's device.

    Examples:
        >>> affordable_examples(nn.Linear(10, 10), torch.zeros(2, 10))
        1000
    """
    with left_alone(module), as_written(module), torch.no_grad():
        each = operations_of(lambda: module(features)).get(ALL, 0) / len(features)
    return MOST_EXAMPLES if not each else max(_FEWEST_EXAMPLES, min(MOST_EXAMPLES, int(_PASS_OPERATIONS / each)))
