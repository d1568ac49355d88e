"""The distances that come with the package: between weights, and between representations."""

from importlib import import_module
from pkgutil import iter_modules

from metrics.distances import measures
from metrics.distances.families import ClientMatrixMetric
from metrics.distances.representations import RepresentationMetric


def built_in_metrics() -> list[ClientMatrixMetric]:
    """Return new instances of all metrics of the package, each with a name of its own, those between weights first.

    They are what the files of :mod:`metrics.distances.measures` list as ``BUILT_IN``.
    """
    files = sorted(module.name for module in iter_modules(measures.__path__, f"{measures.__name__}."))
    found: list[ClientMatrixMetric] = [make() for name in files for make in import_module(name).BUILT_IN]
    return sorted(found, key=lambda metric: isinstance(metric, RepresentationMetric))
