"""The distances that come with the package: between weights, and between representations."""

from metrics.compare.measures.cca import PWCCA, SVCCA
from metrics.compare.measures.cka import CKA
from metrics.compare.measures.procrustes import Procrustes
from metrics.compare.measures.rsa import RSA
from metrics.compare.measures.shape import ShapeMetric
from metrics.distances.families import ClientMatrixMetric
from metrics.distances.measures.cosine import CosineMetric, ModelCosineMetric
from metrics.distances.measures.edc import EdcMetric
from metrics.distances.measures.lp import LpMetric, ModelLpMetric
from metrics.distances.measures.procrustes import ProcrustesMetric
from metrics.distances.measures.sign_disagreement import ModelSignMetric, SignMetric
from metrics.distances.measures.trust import LogTrustMetric, SymmetricTrustMetric, TrustMetric
from metrics.distances.measures.wasserstein import WassersteinMetric
from metrics.distances.representations import RepresentationMetric

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
