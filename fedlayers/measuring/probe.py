"""Whether a run has a probe: it has one if a metric uses it."""

from collections.abc import Mapping

from fedlayers.config.settings import Config
from fedlayers.core.federation import Examples, Federation
from fedlayers.data.probe import probe_examples
from metrics.base import Metric


def probe_for(metrics: Mapping[str, Metric], config: Config, federation: Federation) -> Examples | None:
    """Return the probe of a run, None if none of its metrics uses one.

    :func:`fedlayers.data.probe.probe_examples` says how it is drawn.
    """
    if not any(metric.uses_probe for metric in metrics.values()):
        return None
    return probe_examples(config.probe, federation, config.seed)
