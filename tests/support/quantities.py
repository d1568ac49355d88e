"""What is known of quantities that made-up runs have, as the metrics of the package state it."""

import math

from clients.fedavg import FedAvgClient
from fedlayers.core.quantities import Facts, Quantities
from metrics.client_clusters import ClientClusters
from metrics.client_distances import Distances
from metrics.compare.measures.cka import CKA
from metrics.compare.measures.procrustes import Procrustes
from metrics.curvature import Curvature
from metrics.evaluation import Evaluation
from metrics.gradients import Gradients
from metrics.representation import Representation
from metrics.sensitivity import Sensitivity
from metrics.weights import Weights

_FAMILIES = (
    ClientClusters, Distances, CKA, Procrustes, Curvature, Evaluation, Gradients, Representation, Sensitivity,
    Weights, FedAvgClient,
)  # fmt: skip
_OTHERS = (
    Facts("hessian_trace", "nat", -math.inf, math.inf, "neutral", "test"),
    Facts("cka_distance", "rad", 0.0, math.pi, "lower", "test", symmetric=True),
    Facts("predictivity", "1", -math.inf, 1.0, "higher", "test"),
    Facts("information", "nat", 0.0, math.inf, "higher", "test", symmetric=True),
)
KNOWN = Quantities.of([facts for family in _FAMILIES for facts in family.facts] + list(_OTHERS))
