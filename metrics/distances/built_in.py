"""The distances that come with the package: between weights, and between representations."""

from metrics.compare.cca import PWCCA, SVCCA
from metrics.compare.cka import CKA
from metrics.compare.procrustes import Procrustes
from metrics.compare.rsa import RSA
from metrics.compare.shape import ShapeMetric
from metrics.distances.cosine import CosineMetric, ModelCosineMetric
from metrics.distances.edc import EdcMetric
from metrics.distances.families import ClientMatrixMetric
from metrics.distances.lp import LpMetric, ModelLpMetric
from metrics.distances.procrustes_distance import ProcrustesMetric
from metrics.distances.representations import RepresentationMetric
from metrics.distances.sign_disagreement import ModelSignMetric, SignMetric
from metrics.distances.trust import LogTrustMetric, SymmetricTrustMetric, TrustMetric
from metrics.distances.wasserstein import WassersteinMetric

# The exponents of the L_p distances; below 1 they are no metrics.
EXPONENTS = (0.1, 0.5, 1, 2, 3, 10)


def built_in_metrics() -> list[ClientMatrixMetric]:
    """Return new instances of all metrics of the package, each with a name of its own."""
    return [
        TrustMetric(),
        LogTrustMetric(),
        SymmetricTrustMetric(),
        CosineMetric(),
        ModelCosineMetric(),
        *(LpMetric(p) for p in EXPONENTS),
        *(ModelLpMetric(p) for p in EXPONENTS),
        SignMetric(),
        ModelSignMetric(),
        ProcrustesMetric(),
        WassersteinMetric(),
        EdcMetric(),
        *_of_representations(),
    ]


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
