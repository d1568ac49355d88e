"""Rows of the clusters of the examples on which a client's own and the common model disagree."""

import math
from typing import Any

import torch
from torch import Tensor

from fedlayers.core.records import Row
from fedlayers.core.seeding import derive, torch_generator
from metrics.base import ClientView, measured
from metrics.disagreement.per_record import RecordDisagreement
from metrics.heterogeneity.disagreements import SCOPE
from metrics.record_clustering.clusters import record_clusters

# Clusters of more would cost more than a round.
_MOST_CONTEXT = 2000


def cluster_rows(features: Tensor, found: RecordDisagreement, right: Tensor, view: ClientView) -> list[Row]:
    """Return number, sizes and accuracies of the clusters of the examples on which the models disagree."""
    chosen = torch.nonzero(found.hard).flatten()
    if not len(chosen):
        return [measured("record_clusters", 0.0, scope=SCOPE, n=0)]
    others = torch.nonzero(~found.hard).flatten()
    drawn = torch.randperm(len(others), generator=torch_generator(view.seed, "context"))[:_MOST_CONTEXT]
    chosen = chosen[
        torch.randperm(len(chosen), generator=torch_generator(view.seed, "chosen"))[:_MOST_CONTEXT].sort()[0]
    ]
    context = torch.cat([features[chosen], features[others[drawn]]])
    clusters = record_clusters(context, torch.arange(len(chosen)), seed=derive(view.seed, "record clusters"))
    p = None if math.isnan(clusters.p) else clusters.p
    rows: list[Row] = [measured("record_clusters", float(clusters.number), scope=SCOPE, n=len(chosen), p=p)]
    for cluster, size in enumerate(clusters.sizes.tolist()):
        hits = right[chosen[torch.from_numpy(clusters.labels == cluster)]].double()
        address: dict[str, Any] = {"subject": str(cluster), "scope": SCOPE, "n": size}
        stderr = float(hits.std()) / math.sqrt(size) if size > 1 else None
        rows.append(measured("record_cluster_size", float(size), **address))
        rows.append(measured("record_cluster_accuracy", float(hits.mean()), stderr=stderr, **address))
    return rows
