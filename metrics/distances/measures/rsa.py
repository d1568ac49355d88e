"""The angle between the ranks of the distances between examples."""

from functools import partial

from metrics.compare.measures.rsa import RSA
from metrics.distances.representations import RepresentationMetric

BUILT_IN = (partial(RepresentationMetric, "rsa_distance", RSA()),)
