"""The angle between representations after the best rotation."""

from functools import partial

from metrics.compare.measures.procrustes import Procrustes
from metrics.distances.representations import RepresentationMetric

BUILT_IN = (partial(RepresentationMetric, "procrustes_distance", Procrustes()),)
