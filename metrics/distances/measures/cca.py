"""What mean canonical correlations of representations lack to one."""

from functools import partial

from metrics.compare.measures.cca import PWCCA, SVCCA
from metrics.distances.representations import RepresentationMetric

# Published as 1 − s: a mean of correlations is no cosine.
BUILT_IN = (
    partial(RepresentationMetric, "svcca_distance", SVCCA(), angular=False),
    partial(RepresentationMetric, "pwcca_distance", PWCCA(), angular=False),
)
