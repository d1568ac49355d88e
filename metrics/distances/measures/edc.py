"""EDC: how differently two clients' updates point along the directions in which all updates vary most."""

import math
from collections.abc import Sequence

import numpy as np

from metrics.distances.families import ClientMatrixMetric
from metrics.distances.gram.gram_pairs import Vectors
from metrics.distances.weights.aligned import aligned_arrays
from metrics.distances.weights.participant import Client

# Columns that are float64 at a time.
_TILE = 4096


def edc_matrix(vectors: Sequence[Vectors], directions: int) -> np.ndarray:
    """Return the Euclidean distances of decomposed cosines.

    With W = U S Vᵀ, one row w_i per client, and v_1 … v_m the first right singular vectors,
    EDC(i, j) = √(Σ_k (cos(w_i, v_k) − cos(w_j, v_k))²) / m. The cosines are those of the rows of U S with the axes, so
    V is never made: W's triangular factor, found tile by tile, has the same U and S. Where the m-th and the next
    singular value are equal, the directions and with them the distances are not unique.

    Args:
        vectors: for every array of the model one vector a client, shape (d,) each; n clients.
        directions: m, 1 or more; as many as there are clients, or numbers, if those are fewer.

    Returns:
        Shape (n, n); NaN for clients with numbers that are not finite, which take no part in the decomposition. The
        cosine of a zero vector is 0.

    Raises:
        ValueError: if m is below 1.

    References:
        Duan et al. 2021, FedGroup: Efficient Clustered Federated Learning via Decomposed Data-Driven Measure,
        arXiv 2010.06870.
    """
    if directions < 1:
        raise ValueError(f"directions must be 1 or more, got {directions}")
    finite = np.all([[np.isfinite(vector).all() for vector in part] for part in vectors], axis=0)
    found = np.full((len(finite), len(finite)), np.nan)
    if not finite.any():
        return found
    factor = _triangular_factor([[part[i] for i in np.flatnonzero(finite).tolist()] for part in vectors])
    left, singular, _ = np.linalg.svd(factor.T, full_matrices=False)
    count = min(directions, *factor.shape)
    norms = np.linalg.norm(factor, axis=0)[:, None]
    projections = (left * singular)[:, :count]
    cosines = np.divide(projections, norms, out=np.zeros_like(projections), where=norms > 0)
    differences = cosines[:, None] - cosines
    found[np.ix_(finite, finite)] = np.sqrt(np.square(differences).sum(2)) / count
    return found


class EdcMetric(ClientMatrixMetric):
    """``edc_dst``: Euclidean distance of decomposed cosines, see :func:`edc_matrix`.

    Of the clients' gradients (their updates) if every client has one, else of their models; NaN if shapes differ.
    A distance depends on all clients compared together; multiplying all of them by c changes nothing. Clients that
    point in the same direction are at 0 from each other.

    Args:
        directions: m, the number of singular directions, 1 or more. The paper takes the number of groups.
    """

    high = math.sqrt(2)
    cost = "cheap"
    reference = "Duan et al. 2021, FedGroup, arXiv 2010.06870"

    def __init__(self, directions: int = 3) -> None:
        super().__init__("edc_dst", scale="invariant")
        self.directions = directions

    def _client_distance_matrix(self, clients: Sequence[Client]) -> np.ndarray:
        gradients = [client.gradient for client in clients if client.gradient is not None]
        of_gradients = len(gradients) == len(clients)
        aligned = aligned_arrays(gradients if of_gradients else [client.model for client in clients])
        if aligned is None:
            return np.full((len(clients), len(clients)), np.nan)
        return edc_matrix(aligned.vectors, self.directions)


def _triangular_factor(vectors: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Return R with RᵀR = W Wᵀ, shape (min(n, d), n), without squaring singular values."""
    count = len(vectors[0])
    factor: np.ndarray = np.zeros((0, count))
    for part in vectors:
        for start in range(0, len(part[0]), _TILE):
            tile = np.stack([vector[start : start + _TILE] for vector in part], axis=1)
            factor = np.asarray(np.linalg.qr(np.vstack([factor, tile.astype(np.float64)]), mode="r"))
    return factor


BUILT_IN = (EdcMetric,)
