"""Handing examples out to clients with the partitioners of flwr-datasets, or any class of their kind."""

import contextlib
import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlayers.config.building import build_plugin, located
from fedlayers.config.signatures import signature_of
from fedlayers.core.checks import check
from fedlayers.core.errors import UserError
from fedlayers.core.seeding import derive, numpy_generator
from fedlayers.data.partitioning.advice import Attempt, advice

if TYPE_CHECKING:
    from fedlayers.data.partitioning.table import Table

DEFAULT_CLIENTS = 10


@dataclass(frozen=True)
class Pool:
    """The examples to hand out.

    Attributes:
        positions: where they are in the data set's arrays, shape (n,).
        labels: shape (n,).
        groups: codes of their natural groups, shape (n,); None if there are none.
    """

    positions: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None

    def take(self, chosen: np.ndarray) -> "Pool":
        """Return some of the examples: a mask or indices, shape (m,)."""
        return Pool(self.positions[chosen], self.labels[chosen], None if self.groups is None else self.groups[chosen])


@dataclass(frozen=True)
class Request:
    """A partition as it was asked for, with what the configuration leaves open filled in.

    Attributes:
        spec: ``config.partition``.
        clients: the number of clients; None if the partitioner decides alone.
        seed: the run's seed.
        by: the column that is partitioned by, ``label`` or ``group``.
        natural: whether every client is one natural group.
    """

    spec: Mapping[str, Any]
    clients: int | None
    seed: int
    by: str
    natural: bool

    @property
    def name(self) -> str:
        """What error messages call it."""
        return f"partition={self.spec.get('name', self.spec['_target_'])}"


def resolve(spec: Mapping[str, Any], clients: int | None, seed: int) -> Request:
    """Return the request that ``config.partition`` and ``config.clients`` make.

    ``clients: null`` means ten, or as many as there are groups if every client is one.

    Raises:
        UserError: if the partitioner does not exist or the configuration contradicts itself.
    """
    taken = signature_of(located("partition", spec)).hints
    is_natural_class = "NaturalId" in str(spec["_target_"])
    by = str(spec.get("partition_by") or ("group" if is_natural_class else "label"))
    check(by in ("label", "group"), "partition.partition_by", "label or group", by)
    natural = str(spec["_target_"]).endswith(".NaturalIdPartitioner") and by == "group"
    own = spec.get("num_partitions")
    if own is not None and clients not in (None, own):
        raise UserError(
            f"clients must be null or {own}, which partition.num_partitions says, got {clients}; set only clients"
        )
    if "num_partitions" in taken:
        clients = own or clients or DEFAULT_CLIENTS
    return Request(spec, clients, seed, by, natural)


def restrict(pool: Pool, request: Request, group_names: Sequence[str], name: str, no_groups: str) -> Pool:
    """Return the examples that take part: all, or those of the first groups if fewer clients than groups are wanted.

    Raises:
        UserError: if groups are asked for and there are none, or not as many.
    """
    if request.by != "group":
        return pool
    if pool.groups is None:
        why = no_groups or f"{name} names no groups"
        raise UserError(
            f"{request.name} must be used with a data set that has natural groups, such as Heart, got dataset={name}: "
            f"{why}; use partition=dirichlet or partition=iid"
        )
    if not request.natural or request.clients is None:
        return pool
    present = np.unique(pool.groups)
    listed = ", ".join(group_names[code] for code in present[:6]) + (", …" if len(present) > 6 else "")
    check(
        request.clients <= len(present),
        "clients",
        f"at most {len(present)} with {request.name}, one client per group of {name} ({listed})",
        request.clients,
        "lower it, or set it to null for all groups",
    )
    return pool.take(np.isin(pool.groups, present[: request.clients]))


def partition(pool: Pool, request: Request, num_classes: int, name: str) -> list[np.ndarray]:
    """Return the positions of every client's examples.

    The examples are shuffled first, because some partitioners cut the data set in pieces as it comes. Only labels and
    groups reach the partitioner, never the features.

    Raises:
        UserError: if the request cannot be met; says what would work.
    """
    _check_arguments(request, num_classes, len(pool.positions), name)
    order = numpy_generator(request.seed, "partition_order").permutation(len(pool.positions))
    table = _table(pool.take(order))
    try:
        parts = _run(table, request.spec, request)
    except UserError:
        raise
    except Exception as error:  # partitioners are foreign code and raise whatever they like
        raise _impossible(table, request, name, error) from error
    clients = request.clients
    check(clients in (None, len(parts)), "clients", f"{len(parts)} or null with {request.name}", clients)
    empty = [client for client, part in enumerate(parts) if len(part) == 0]
    if empty:
        raise UserError(
            f"{request.name} must give every client an example, got none for {len(empty)} of {len(parts)} clients"
            f"{advice(_attempt(table, request), len(parts), request.spec)}"
        )
    return parts


def _check_arguments(request: Request, num_classes: int, num_examples: int, name: str) -> None:
    """Check what the partitioners themselves would refuse late or in other words."""
    check(
        request.clients is None or request.clients <= num_examples,
        "clients",
        f"at most {num_examples}, the number of training examples of {name}",
        request.clients,
        "every client needs one",
    )
    if "alpha" in request.spec:
        alpha = request.spec["alpha"]
        values = alpha if isinstance(alpha, list | tuple) else [alpha]
        is_right = bool(values) and all(
            isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) and v > 0 for v in values
        )
        check(is_right, "partition.alpha", "positive (small: very different clients; 100: nearly equal ones)", alpha)
    smallest = request.spec.get("min_partition_size", 0)
    check(smallest >= 0, "partition.min_partition_size", "0 or more", smallest)
    shards = request.spec.get("num_shards_per_partition")
    if isinstance(shards, int) and request.clients is not None:
        most = num_examples // request.clients
        allowed = f"at most {most} with clients={request.clients} and the {num_examples} examples of {name}"
        check(shards <= most, "partition.num_shards_per_partition", allowed, shards)
    wanted = request.spec.get("num_classes_per_partition")
    if wanted is not None:
        is_right = isinstance(wanted, int) and 1 <= wanted <= num_classes
        allowed = f"from 1 to {num_classes}, the number of classes of {name}"
        check(is_right, "partition.num_classes_per_partition", allowed, wanted)


def _table(pool: Pool) -> "Table":
    # The library behind it takes a second to import, and most runs find their partition in the cache.
    from fedlayers.data.partitioning.table import table_of

    columns = {"label": pool.labels, "position": pool.positions}
    if pool.groups is not None:
        columns["group"] = pool.groups
    return table_of(columns)


def _run(table: "Table", spec: Mapping[str, Any], request: Request) -> list[np.ndarray]:
    """Build a partitioner, let it work in silence, and return every client's positions."""
    from fedlayers.data.partitioning.table import positions_in

    defaults = {
        "num_partitions": request.clients,
        "partition_by": request.by,
        "seed": derive(request.seed, "partition") % 2**32,
    }
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        partitioner = build_plugin("partition", spec, filled_in=defaults)
        partitioner.dataset = table
        parts = [positions_in(partitioner.load_partition(client)) for client in range(partitioner.num_partitions)]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        raise UserError(f"partition._target_ must hand out examples, got {spec['_target_']}, which hands out columns")
    return found


def _attempt(table: "Table", request: Request) -> Attempt:
    """Return a function that says whether other numbers of clients or arguments would work."""

    def works(changes: Mapping[str, Any], clients: int | None) -> bool:
        changed = Request({**request.spec, **changes}, clients, request.seed, request.by, request.natural)
        try:
            return all(len(part) for part in _run(table, changed.spec, changed))
        except Exception:  # any failure means that it does not work
            return False

    return works


def _impossible(table: "Table", request: Request, name: str, error: Exception) -> UserError:
    shown = {k: v for k, v in request.spec.items() if k not in ("name", "_target_", "partition_by")}
    asked = "".join(f", {k}={v}" for k, v in {"clients": request.clients, **shown}.items() if v is not None)
    reason = (" ".join(str(error).split()) or type(error).__name__).rstrip(".")
    return UserError(
        f"{request.name} must be possible, got {name} ({table.num_rows} examples){asked}, which cannot be had "
        f"({reason}){advice(_attempt(table, request), request.clients, request.spec)}"
    )
