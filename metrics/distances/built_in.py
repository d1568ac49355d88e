"""The distances that come with the package: between weights, and between representations."""

from importlib import import_module
from pkgutil import iter_modules

from metrics.compare.measures.cca import PWCCA, SVCCA
from metrics.compare.measures.cka import CKA
from metrics.compare.measures.procrustes import Procrustes
from metrics.compare.measures.rsa import RSA
from metrics.compare.measures.shape import ShapeMetric
from metrics.distances import measures
from metrics.distances.families import ClientMatrixMetric
from metrics.distances.representations import RepresentationMetric


def built_in_metrics() -> list[ClientMatrixMetric]:
    """Return new instances of all metrics of the package, each with a name of its own.

    Those between weights are what the files of :mod:`metrics.distances.measures` list as ``BUILT_IN``.
    """
    files = sorted(module.name for module in iter_modules(measures.__path__, f"{measures.__name__}."))
    between_weights = [make() for name in files for make in import_module(name).BUILT_IN]
    return [*between_weights, *_of_representations()]


def _of_representations() -> list[RepresentationMetric]:
    return [
        RepresentationMetric("cka_dst", CKA()),
        RepresentationMetric("cka_biased_dst", CKA("biased")),
        RepresentationMetric("activation_procrustes_dst", Procrustes()),
        RepresentationMetric("shape_0_dst", ShapeMetric(0.0)),
        # Partial whitening is relative to variances of 1.
        RepresentationMetric("shape_05_dst", ShapeMetric(0.5), scale="none"),
        # Published as 1 − s: a mean of correlations is no cosine.
        RepresentationMetric("svcca_dst", SVCCA(), angular=False),
        RepresentationMetric("pwcca_dst", PWCCA(), angular=False),
        RepresentationMetric("rsa_dst", RSA()),
    ]
