"""From a run's configuration to its federation."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fedlayers.config.settings import Config
from fedlayers.core.federation import Federation, Records
from fedlayers.data.build import build
from fedlayers.data.cache import data_root
from fedlayers.data.partitioning.assign import Assignment, assign
from fedlayers.data.partitioning.plant import Planting, planting
from fedlayers.data.partitioning.split import SPLIT_SCOPES
from fedlayers.data.prepare import Prepared, prepare
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
    prepared = prepare(build("dataset", config.dataset), config.dataset, data_root(config.data_dir))
    federation = _federation(prepared, assign(prepared, config))
    clients, classes = federation.num_clients, len(federation.classes)
    groups = planting(config.plant, clients, federation.shape, classes, config.seed)
    return _planted(federation, groups) if groups else federation


def _federation(prepared: Prepared, assignment: Assignment) -> Federation:
    facts, num_clients = prepared.arrays.facts, len(assignment.client_names)
    labels = torch.from_numpy(prepared.arrays.labels)
    own, pooled = (
        torch.from_numpy(prepared.arrays.features if filled is None else filled)
        for filled in (assignment.own, assignment.pooled)
    )
    scale, shift = _normalisation(prepared, assignment)
    index, bounds = torch.from_numpy(assignment.index), assignment.bounds.tolist()

    def piece(first: int, last: int) -> Tensor:
        return index[bounds[first] : bounds[last]]

    splits = {
        scope: [
            Records(own, labels, piece(start + client, start + client + 1), scale[client], shift[client])
            for client in range(num_clients)
        ]
        for scope, start in zip(SPLIT_SCOPES, range(0, 3 * num_clients, num_clients), strict=True)
    }
    return Federation(
        name=prepared.name,
        classes=facts.classes,
        shape=tuple(own.shape[1:]),
        client_names=assignment.client_names,
        splits=splits,
        server_test=Records(pooled, labels, piece(3 * num_clients, 3 * num_clients + 1), scale[-1], shift[-1]),
        pooled_train=Records(pooled, labels, piece(0, num_clients), scale[-1], shift[-1]),
        imputed=_imputed(assignment),
        notes=prepared.notes + assignment.notes,
        digest=assignment.digest,
    )


def _planted(federation: Federation, groups: Planting) -> Federation:
    """Return the federation with what each client's group changes in its records, and in the same ones pooled."""

    def changed(records: Records, clients: Sequence[int], sizes: Sequence[int]) -> Records:
        return replace(records, planted=groups.of(clients, sizes))

    splits = {
        scope: [changed(records, [client], [len(records)]) for client, records in enumerate(parts)]
        for scope, parts in federation.splits.items()
    }
    everyone, sizes = range(federation.num_clients), [len(records) for records in splits["client_train"]]
    pooled = changed(federation.pooled_train, everyone, sizes)
    return replace(federation, splits=splits, pooled_train=pooled, planted=groups.groups)


def _normalisation(prepared: Prepared, assignment: Assignment) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Return scale and shift for every client and, last, for the server."""
    if assignment.scale is not None and assignment.shift is not None and assignment.wide is not None:
        types = [torch.float64 if wide else torch.float32 for wide in assignment.wide]
        rows = [torch.from_numpy(numbers).unbind() for numbers in (assignment.scale, assignment.shift)]
        scale, shift = ([row.to(dtype) for row, dtype in zip(part, types, strict=True)] for part in rows)
        return scale, shift
    std = np.array(prepared.arrays.facts.std)
    by = -np.array(prepared.arrays.facts.mean) / std
    is_wide = prepared.arrays.features.dtype == np.float64 or bool((np.abs(by) > LARGEST_SHIFT).any())
    dtype, copies = torch.float64 if is_wide else torch.float32, len(assignment.client_names) + 1
    of_image = [torch.tensor(numbers, dtype=dtype).reshape(-1, 1, 1) for numbers in (1 / std, by)]
    return [of_image[0]] * copies, [of_image[1]] * copies


def _imputed(assignment: Assignment) -> pd.DataFrame:
    named = [
        {**entry, "client_name": "server" if entry["client"] is None else assignment.client_names[entry["client"]]}
        for entry in assignment.imputed
    ]
    return pd.DataFrame(named, columns=IMPUTED_COLUMNS).astype({"client": "Int64"})
