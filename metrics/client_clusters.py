"""Which clients belong together, how clearly, how reliably, and whether it is what was planted."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from fedlayers.core.quantities import told
from fedlayers.core.records import Pair, Record, missing
from fedlayers.core.seeding import derive
from metrics.base import SHARED, ClientView, Facts, Measurement, Metric, ServerView, measured
from metrics.clusters.agglomerative import Agglomerative
from metrics.clusters.cluster import Clustering, Clusters
from metrics.clusters.evaluation import (
    adjusted_rand_index,
    embeddedness,
    purity,
    silhouettes,
    similarity_contrast,
    why_undefined,
)
from metrics.clusters.similarity import GaussianMedian, SimilarityOfDistance
from metrics.distances.built_in import built_in_metrics
from metrics.distances.metric_set import MetricSet
from metrics.distances.participants import LayerTables, Participants, by_weights, check_moments
from metrics.distances.probe_models import by_representations, send_representations
from metrics.distances.representations import RepresentationMetric
from metrics.probe.activations import probe_remark
from metrics.probe.positions import check_positions

OF = ("updates", "weights")
_ROUSSEEUW = "Rousseeuw 1987, Silhouettes, Journal of Computational and Applied Mathematics 20"
_LANCICHINETTI = "Lancichinetti et al. 2010, PLoS ONE 5"
_SIMILARITY = GaussianMedian()
_LONELY = "a client is like no other"
# Silhouette and embeddedness of every client.
Fits = tuple[np.ndarray, np.ndarray]


def _number(
    name: str, low: float = 0.0, high: float = math.inf, direction: str = "neutral", reference: str = ""
) -> Facts:
    return Facts(name, "1", low, high, direction, reference or "see metrics.client_clusters.ClientClusters")


class ClientClusters(Metric):
    """Clusters of clients found from the distances between them.

    Client half, if the distance is one between representations: as in :class:`metrics.client_distances.Distances`.

    Server half, in ``records/``, ``variant`` names the distance and what it is between, ``scope`` is ``probe`` for
    representations:

    - ``clusters``: how many there are; ``p`` of "there are none" where that was tested, ``n`` clients;
    - ``cluster``: of every client, its cluster, numbered by the first client in it; ``silhouette`` and
      ``embeddedness`` of every client, and their means over clients;
    - ``intra_similarity``, ``inter_similarity``, ``similarity_ratio``: mean similarity of pairs in one cluster and in
      different ones;
    - ``cluster_size``, ``cluster_stability`` with ``subject`` ``cluster 0`` and so on: mean Jaccard index of a cluster
      with its likeness among resampled clients, with the standard error of the resampling;
    - ``adjusted_rand_index``, ``purity``: against the planted groups, where groups were planted.

    In ``pairs/``: ``cluster_distance``, the distances that it was found from (``subject`` ``clients``); a distance with
    a direction is the mean of both.

    Args:
        distance: a name, see :mod:`metrics.distances.names`.
        of: ``updates`` (what training changed) or ``weights``; distances between representations leave it aside.
        positions: of representations, see :class:`metrics.client_distances.Distances`.
        method: how clusters are found; None: average linkage, as many as stand out.
        similarity: what makes similarities of distances; None: exp(−(d / median)² / 2).
        resamples: draws of clients for the stability, 0 leaves it out.
        rounds, moments: see :class:`metrics.base.Metric`; weights are known at ``after_local`` only.

    Raises:
        ValueError: an argument is out of its range.
    """

    facts = (
        _number("clusters", 1),
        _number("cluster"),
        _number("silhouette", -1, 1, "higher", _ROUSSEEUW),
        _number("embeddedness", 0, 1, "higher", _LANCICHINETTI),
        _number("intra_similarity", -1, 1, "higher"),
        _number("inter_similarity", -1, 1, "lower"),
        _number("similarity_ratio", 0, math.inf, "higher"),
        _number("cluster_size", 1),
        _number("cluster_stability", 0, 1, "higher", "Hennig 2007, Computational Statistics & Data Analysis 52"),
        _number("adjusted_rand_index", -0.5, 1, "higher", "Hubert & Arabie 1985, Journal of Classification 2"),
        _number("purity", 0, 1, "higher", "Manning, Raghavan & Schütze 2008, Introduction to Information Retrieval"),
        Facts("cluster_distance", "1", 0.0, math.inf, "lower", "see metrics.distances", symmetric=True),
    )

    def __init__(
        self,
        distance: str = "model_cosine_dst",
        of: str = "updates",
        positions: str = "pooled",
        method: Clustering | None = None,
        similarity: SimilarityOfDistance | None = None,
        resamples: int = 100,
        rounds: Sequence[str | int] = ("first", "last"),
        moments: Sequence[str] = ("after_local",),
    ) -> None:
        super().__init__(rounds, moments)
        if of not in OF:
            raise ValueError(f"of must be one of {', '.join(OF)}, got {of!r}")
        if resamples < 0:
            raise ValueError(f"resamples must be 0 or more, got {resamples}")
        check_moments(moments)
        self.metric = MetricSet(built_in_metrics()).get_metric(distance)
        self.renamed = told([distance])
        self.uses_probe = isinstance(self.metric, RepresentationMetric)
        self.of, self.positions, self.resamples = of, check_positions(positions), resamples
        self.method: Clustering = method or Agglomerative()
        self.similarity: SimilarityOfDistance = similarity or _SIMILARITY

    def remarks(self, view: ClientView) -> list[str]:
        """Say if the name is old and, if there are representations, where the probe is small for a layer's width."""
        if not isinstance(self.metric, RepresentationMetric):
            return []
        return self.renamed + probe_remark(view, self.positions, {self.metric.name: self.metric.comparison})

    def client(self, view: ClientView) -> Measurement:
        """Return the representations, if the distance is between them."""
        return send_representations(view, self.positions, ["cluster_distance"]) if self.uses_probe else Measurement()

    def server(self, view: ServerView) -> Measurement:
        """Return the clusters, how good they are, and the distances they come from."""
        clients = by_representations(view, self.positions, ()) if self.uses_probe else self._by_weights(view)
        of = f"representations, {self.positions}" if self.uses_probe else self.of
        if view.kept_layers and not self.uses_probe:
            of = f"{of}, {SHARED}"
        address: dict[str, Any] = {"variant": f"{self.metric.name} of {of}", "scope": clients.scope}
        if clients.refusal is not None:
            return Measurement([missing("clusters", clients.refusal, **address)])
        distances = self._distances(clients)
        if not np.isfinite(distances).all():
            return Measurement([missing("clusters", self._why(clients), **address)])
        found = self.method.find(distances, derive(view.seed, "clusters"), self.resamples)
        likeness = self.similarity(distances)
        fits = silhouettes(distances, found.labels), embeddedness(likeness, found.labels)
        rows = [
            *_of_all(found, fits, likeness, view),
            *_of_clients(found, fits, view.clients),
            *_of_clusters(found),
        ]
        return Measurement(
            [replace(row, **address) for row in [*rows, *_pairs(distances, view, clients.examples)]],
            kept={"distances": distances},
        )

    def _by_weights(self, view: ServerView) -> Participants:
        """Return the clients' updates or weights."""
        found = by_weights(view, ())
        if self.of == "weights":
            return found
        updates = tuple(replace(client, model=client.gradient or ()) for client in found.clients)
        return replace(found, clients=updates)

    def _distances(self, clients: Participants) -> np.ndarray:
        """Return the distances between the clients, shape (n, n), symmetric."""
        found = self.metric.client_distance_matrix(clients.clients)
        symmetric: np.ndarray = (found + found.T) / 2
        return symmetric

    def _why(self, clients: Participants) -> str:
        """Return why a distance is missing."""
        missing_distance = "a distance between clients is missing"
        if not self.uses_probe:
            return f"{missing_distance}: weights that are not finite, or of other shapes"
        reasons = LayerTables.of(self.metric, clients).why_whole()
        if not reasons:
            return f"{missing_distance}: {clients.incomparable}"
        pair = min(reasons)
        one, other = (clients.owners[place] for place in pair)
        return f"{missing_distance}, {one} and {other}: {reasons[pair]}"


def _of_all(found: Clusters, fits: Fits, likeness: np.ndarray, view: ServerView) -> Iterator[Record]:
    """Yield what is true of the partition as a whole."""
    n, nothing = len(found.labels), why_undefined(found.labels)
    known = math.isfinite(found.p)
    yield replace(measured("clusters", found.number, n=n), p=found.p if known else None)
    for name, values in zip(("silhouette", "embeddedness"), fits, strict=True):
        yield measured(name, float(values.mean()), nothing or _LONELY, n=n)
    contrast = similarity_contrast(likeness, found.labels)
    for name, value in (
        ("intra_similarity", contrast.intra),
        ("inter_similarity", contrast.inter),
        ("similarity_ratio", contrast.ratio),
    ):
        yield measured(name, value, contrast.reason, n=n)
    if view.planted:
        planted = np.array([view.planted[client] for client in view.clients])
        same = "both partitions are one cluster, or both leave every client alone"
        yield measured("adjusted_rand_index", adjusted_rand_index(found.labels, planted), same, n=n)
        yield measured("purity", purity(found.labels, planted), n=n)


def _of_clients(found: Clusters, fits: Fits, clients: Sequence[int]) -> Iterator[Record]:
    """Yield every client's cluster and how well it fits there."""
    nothing = why_undefined(found.labels)
    for client, label, silhouette, embedded in zip(clients, found.labels, *fits, strict=True):
        whose: dict[str, Any] = {"owner": "client", "client": client}
        yield measured("cluster", float(label), **whose)
        yield measured("silhouette", float(silhouette), nothing, **whose)
        yield measured("embeddedness", float(embedded), nothing or _LONELY, **whose)


def _of_clusters(found: Clusters) -> Iterator[Record]:
    """Yield every cluster's size and stability."""
    for cluster in range(found.number):
        whose = {"subject": f"cluster {cluster}"}
        yield measured("cluster_size", float((found.labels == cluster).sum()), **whose)
        if found.stability is not None:
            stability = found.stability
            error = float(stability.jaccard_stderr[cluster])
            yield measured(
                "cluster_stability",
                float(stability.jaccard[cluster]),
                stability.reason or "no resampling drew a client of the cluster",
                stderr=error if math.isfinite(error) else None,
                n=int(stability.repetitions[cluster]),
                **whose,
            )


def _pairs(distances: np.ndarray, view: ServerView, examples: int | None) -> Iterator[Pair]:
    """Yield the distance of every pair of clients, on so many probe examples."""
    for i, j in combinations(range(len(distances)), 2):
        yield Pair(
            "cluster_distance",
            float(distances[i, j]),
            subject="clients",
            n=examples,
            owner="client",
            client=view.clients[i],
            other=view.clients[j],
            other_round=view.round,
        )
