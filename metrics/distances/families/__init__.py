"""The six families of distances between layers, models and clients, each built on the one before it.

====================== =========================== ==========================================================
family                 the author supplies         what it gives
====================== =========================== ==========================================================
``ClientMatrixMetric`` ``_client_distance_matrix`` ``client_distance_matrix``
``ClientMetric``       ``_client_distance``        also ``client_distance``
``ModelMatrixMetric``  ``_model_distance_matrix``  ``model_distance_matrix``, and the clients' matrix from it
``ModelMetric``        ``_model_distance``         also ``model_distance`` and ``client_distance``
``LayerMatrixMetric``  ``_layer_distance_matrix``  also ``layer_distance_matrix``, aggregated for models
``LayerMetric``        ``_layer_distance``         also ``layer_distance``
====================== =========================== ==========================================================

The function is written in a subclass or assigned to an instance::

    metric = ClientMetric("client_l1")
    metric._client_distance = lambda a, b: np.abs(vector_of(a.model) - vector_of(b.model)).sum()

Functions without an underscore preprocess what they are given; those with one do not.
"""

from metrics.distances.families.clients import ClientMatrixMetric, ClientMetric, Declarations, Scale
from metrics.distances.families.layers import LayerMatrixMetric, LayerMetric
from metrics.distances.families.models import ModelMatrixMetric, ModelMetric

__all__ = [
    "ClientMatrixMetric",
    "ClientMetric",
    "Declarations",
    "LayerMatrixMetric",
    "LayerMetric",
    "ModelMatrixMetric",
    "ModelMetric",
    "Scale",
]
