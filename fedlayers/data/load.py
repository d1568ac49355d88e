"""From a run's configuration to its federation."""

import numpy as np
import pandas as pd
import torch

from fedlayers.config.schema.settings import Config
from fedlayers.core.federation import ClientExamples, Examples, Federation, Normalisation
from fedlayers.core.planted import Planting
from fedlayers.data.cache import data_root
from fedlayers.data.partitioning.assign import Assignment, assign
from fedlayers.data.partitioning.plant import planting, refuse_permuted_label_sets
from fedlayers.data.partitioning.split import SPLIT_SCOPES
from fedlayers.data.partitioning.unseen import unseen_clients
from fedlayers.data.prepare import Prepared, prepare
from fedlayers.data.source import source_of
from fedlayers.data.tabular import LARGEST_SHIFT

IMPUTED_COLUMNS = ["client", "client_name", "feature", "scope", "missing", "value", "source"]


def load_federation(config: Config) -> Federation:
    """Return the data of a run: the same for the same data set, partition, split, clients, caps and seed.

    The first call prepares and caches everything (downloads included), one process at a time; later calls, in any
    process, only map the cached arrays into memory.

    Raises:
        UserError: if files are missing or damaged, or the partition or the planted groups cannot be had with this
            data.
    """
    prepared = prepare(source_of(config.dataset), config.dataset, data_root(config.data_dir))
    assignment = assign(prepared, config)
    shape, classes = prepared.arrays.features.shape[1:], len(prepared.arrays.facts.classes)
    refuse_permuted_label_sets(config.plant, prepared.arrays.labels.ndim)
    groups = planting(config.plant, assignment.num_clients, shape, classes, config.seed)
    unseen = unseen_clients(config.split.unseen_clients, assignment.num_clients, config.seed)
    return _federation(prepared, assignment, groups, unseen)


def _federation(
    prepared: Prepared, assignment: Assignment, groups: Planting | None, unseen: tuple[int, ...]
) -> Federation:
    facts, num_clients = prepared.arrays.facts, assignment.num_clients
    labels = torch.from_numpy(prepared.arrays.labels)
    own, pooled = (
        torch.from_numpy(prepared.arrays.features if filled is None else filled)
        for filled in (assignment.own, assignment.pooled if assignment.pooled is not None else assignment.own)
    )
    normalisation = _normalisation(prepared, assignment)
    index, bounds = torch.from_numpy(assignment.index), assignment.bounds

    def parts(place: int) -> ClientExamples:
        mine = bounds[place * num_clients : (place + 1) * num_clients + 1]
        return ClientExamples(own, labels, index[mine[0] : mine[-1]], mine - mine[0], normalisation, groups)

    splits = {scope: parts(place) for place, scope in enumerate(SPLIT_SCOPES)}
    seen = None if not unseen else [client for client in range(num_clients) if client not in unseen]
    return Federation(
        name=prepared.name,
        classes=facts.classes,
        shape=tuple(own.shape[1:]),
        splits=splits,
        server_test=Examples(pooled, labels, index[bounds[-2] : bounds[-1]], *normalisation.of(-1, pooled.device)),
        pooled_train=splits["client_train"].together(pooled, seen),
        imputed=_imputed(assignment),
        notes=prepared.notes + assignment.notes,
        planted=groups.groups if groups else None,
        digest=assignment.digest,
        names=assignment.names,
        unseen=unseen,
        vocabulary=assignment.vocabulary or facts.vocabulary,
        label_groups=facts.label_groups,
        columns=facts.columns,
    )


def _normalisation(prepared: Prepared, assignment: Assignment) -> Normalisation:
    """Return scale and shift for every client and, last, for the server."""
    if assignment.scale is not None and assignment.shift is not None and assignment.wide is not None:
        return Normalisation(assignment.scale, assignment.shift, assignment.wide)
    if prepared.arrays.facts.vocabulary:
        return Normalisation(np.ones((1, 1)), np.zeros((1, 1)), np.array([False]))
    std = np.array(prepared.arrays.facts.std)
    by = -np.array(prepared.arrays.facts.mean) / std
    is_wide = prepared.arrays.features.dtype == np.float64 or bool((np.abs(by) > LARGEST_SHIFT).any())
    scale, shift = (row.reshape(1, -1, 1, 1) for row in (1 / std, by))
    return Normalisation(scale, shift, np.array([is_wide]))


def _imputed(assignment: Assignment) -> pd.DataFrame:
    named = [
        {**entry, "client_name": "server" if entry["client"] is None else assignment.name(entry["client"])}
        for entry in assignment.imputed
    ]
    return pd.DataFrame(named, columns=IMPUTED_COLUMNS).astype({"client": "Int64"})
