"""The angle between centred Gram matrices of representations, debiased or not."""

from functools import partial

from metrics.compare.measures.cka import CKA
from metrics.distances.representations import RepresentationMetric

BUILT_IN = (
    partial(RepresentationMetric, "cka_distance", CKA()),
    partial(RepresentationMetric, "cka_biased_distance", CKA("biased"), quantity="cka_distance"),
)
