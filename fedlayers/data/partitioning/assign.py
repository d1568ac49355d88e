"""The assignment of examples to clients and scopes, made once per configuration and kept in the cache."""

import importlib.metadata
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedlayers.config.schema.settings import Config, Split
from fedlayers.core.kinds.labels import strata
from fedlayers.core.kinds.tokens import RESERVED
from fedlayers.core.machine.cache_root import cache_root
from fedlayers.core.seeding import numpy_generator
from fedlayers.data import tabular
from fedlayers.data.cache import build_once, open_array, save_array, save_text
from fedlayers.data.partitioning.partition import Pool, Request, partition, resolve, restrict
from fedlayers.data.partitioning.split import cap, hold_out, split
from fedlayers.data.partitioning.unseen import unseen_clients
from fedlayers.data.prepare import Prepared, digest, digest_of
from fedlayers.data.sealed_folder import sealed_files
from fedlayers.data.vocabulary import agreed_words, recoded

# Part of every cache key: to be raised when examples are assigned in another way.
ASSIGN_VERSION = 4


@dataclass(frozen=True)
class Assignment:
    """Who holds which examples.

    Attributes:
        index: positions of all assigned examples: the clients' training, validation and test parts, then the server's.
        bounds: where each part begins in ``index``, shape (3·clients + 2,); the last two are the server's ends.
        names: one per client; empty if clients have no names but their numbers.
        notes: sentences about examples or groups that are left out.
        imputed: see :func:`fedlayers.data.tabular.fill`.
        own, pooled: rows without gaps, shape (n, d), or tokens by the agreed codes; None if the data set's own features
            are used as they are.
        scale, shift: normalisation of rows, shape (clients + 1, d), the server's last; None for images.
        wide: who computes it in float64, shape (clients + 1,); None for images.
        vocabulary: the words of the codes in ``own``, of token data whose vocabulary the clients agree on; else empty.
        digest: names who holds which examples of which data.
    """

    index: np.ndarray
    bounds: np.ndarray
    names: tuple[str, ...]
    notes: tuple[str, ...]
    imputed: list[dict[str, Any]]
    own: np.ndarray | None
    pooled: np.ndarray | None
    scale: np.ndarray | None
    shift: np.ndarray | None
    wide: np.ndarray | None
    vocabulary: tuple[str, ...]
    digest: str

    @property
    def num_clients(self) -> int:
        """The number of clients."""
        return (len(self.bounds) - 2) // 3

    def name(self, client: int) -> str:
        """Return a client's name."""
        return self.names[client] if self.names else str(client)


def assign(prepared: Prepared, config: Config) -> Assignment:
    """Return who holds which examples, from the cache if it has this data, partition, split, caps and seed.

    Raises:
        UserError: if the partition cannot be had with this data.
    """
    content = {
        "assign": ASSIGN_VERSION,
        "data": (prepared.key, prepared.digest),
        "partition": config.partition,
        "split": {
            name: value for name, value in asdict(config.split).items() if (name, value) != ("unseen_clients", 0)
        },
        "clients": config.clients,
        "examples_per_client": config.examples_per_client,
        "seed": config.seed,
        # Other versions may hand the same request out differently.
        "versions": (np.__version__, importlib.metadata.version("flwr-datasets")),
    }
    folder = cache_root() / "partitions" / digest(content)
    remark = build_once(folder, lambda draft: _write(draft, prepared, config))
    facts = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    files = sealed_files(folder)
    optional = {
        name: open_array(folder / f"{name}.npy") if f"{name}.npy" in files else None
        for name in ("own", "pooled", "scale", "shift", "wide")
    }
    return Assignment(
        open_array(folder / "index.npy"),
        np.load(folder / "bounds.npy", allow_pickle=False),
        tuple(facts["names"]),
        tuple(facts["notes"]) + ((remark,) if remark else ()),
        facts["imputed"],
        **optional,
        vocabulary=tuple(facts.get("vocabulary", ())),
        digest=facts["digest"],
    )


def _write(draft: Path, prepared: Prepared, config: Config) -> None:
    request = resolve(config.partition, config.clients, config.seed)
    pool, server_test = _pool(prepared, request, config)
    kinds = len(prepared.arrays.facts.classes) if prepared.arrays.labels.ndim == 1 else len(np.unique(pool.labels))
    parts = partition(pool, request, kinds, prepared.name)
    notes = [*_notes(prepared, request, pool, parts), *_unread_share(prepared, config)]
    names = _names(prepared, request, pool)
    splits = split(cap(parts, config.examples_per_client, config.seed), config.split, config.seed)
    pieces = [*splits["client_train"], *splits["client_val"], *splits["client_test"], server_test]
    index, bounds = np.concatenate(pieces), np.cumsum([0, *(len(piece) for piece in pieces)])
    save_array(draft / "index.npy", index)
    save_array(draft / "bounds.npy", bounds)
    unseen = unseen_clients(config.split.unseen_clients, len(parts), config.seed)
    seen = [own for client, own in enumerate(splits["client_train"]) if client not in unseen]
    vocabulary = _write_tokens(draft, prepared, seen)
    imputed = _write_rows(draft, prepared, splits, server_test, unseen)
    # Not what is computed from these: other processors round it differently.
    called = names or [str(client) for client in range(len(parts))]
    named = digest_of({"index": index, "bounds": bounds}, {"data": prepared.digest, "clients": called})
    content = {"names": names, "notes": notes, "imputed": imputed, "vocabulary": vocabulary, "digest": named}
    save_text(draft / "meta.json", json.dumps(content))


def _pool(prepared: Prepared, request: Request, config: Config) -> tuple[Pool, np.ndarray]:
    """Return the examples to hand out and the positions of the server's test examples.

    The official test set is the server's; without one, a share of the examples of those who take part is held out,
    stratified by label and group. Label sets count by their whole combination, here as in partitions by label.
    """
    arrays, facts = prepared.arrays, prepared.arrays.facts
    everything = np.arange(len(arrays.labels))
    groups = None if arrays.groups is None else np.asarray(arrays.groups)
    labels = strata(np.asarray(arrays.labels))
    training = Pool(everything, labels, groups).take(everything[: prepared.num_train])
    pool = restrict(training, request, facts.group_names, prepared.name, facts.no_groups)
    if facts.num_test:
        return pool, everything[prepared.num_train :]
    held_by = pool.labels if pool.groups is None else pool.groups * (int(labels.max()) + 1) + pool.labels
    held = hold_out(held_by, config.split.server_test, numpy_generator(config.seed, "server_test"))
    return pool.take(~held), pool.positions[held]


def _notes(prepared: Prepared, request: Request, pool: Pool, parts: Sequence[np.ndarray]) -> list[str]:
    notes = []
    names = prepared.arrays.facts.group_names
    if request.natural and len(parts) < len(names):
        notes.append(
            f"clients={len(parts)} of {len(names)} groups take part, the first ones: {', '.join(names[: len(parts)])}"
        )
    used = sum(len(part) for part in parts)
    if used < len(pool.positions):
        notes.append(f"{request.name} leaves out {len(pool.positions) - used} of {len(pool.positions)} examples")
    return notes


def _unread_share(prepared: Prepared, config: Config) -> list[str]:
    """Return what to say of a share of examples for a test set that is there already."""
    if not prepared.arrays.facts.num_test or config.split.server_test == Split.server_test:
        return []
    return [
        f"split.server_test={config.split.server_test:g} does nothing: {prepared.name} has an official test set of "
        f"{prepared.arrays.facts.num_test} examples; server_test.examples says on how many of them the server tests"
    ]


def _names(prepared: Prepared, request: Request, pool: Pool) -> list[str]:
    """Return a name per client; none if they have no names but their numbers."""
    if not request.natural or pool.groups is None:
        return []
    return [prepared.arrays.facts.group_names[code] for code in np.unique(pool.groups)]


def _write_tokens(draft: Path, prepared: Prepared, train: Sequence[np.ndarray]) -> list[str]:
    """Write tokens by the codes of the vocabulary that the clients agree on, if they do; return its words."""
    arrays, facts = prepared.arrays, prepared.arrays.facts
    if facts.agreed_words is None:
        return []
    tokens, words = np.asarray(arrays.features), len(facts.vocabulary)
    kept = agreed_words(tokens, train, words, facts.agreed_words)
    save_array(draft / "own.npy", recoded(tokens, kept, words))
    return [*RESERVED, *(facts.vocabulary[code] for code in kept)]


def _write_rows(
    draft: Path,
    prepared: Prepared,
    splits: Mapping[str, Sequence[np.ndarray]],
    server_test: np.ndarray,
    unseen: Collection[int],
) -> list[dict[str, Any]]:
    """Write what rows need besides positions; images and tokens need nothing."""
    arrays = prepared.arrays
    if arrays.features.ndim == 4 or arrays.facts.vocabulary:
        return []
    features = np.asarray(arrays.features)
    filled = tabular.fill(features, splits, server_test, arrays.facts.columns, arrays.facts.categorical, unseen)
    if filled.own is not features:
        save_array(draft / "own.npy", filled.own)
        save_array(draft / "pooled.npy", filled.pooled)
    save_array(draft / "scale.npy", filled.scale)
    save_array(draft / "shift.npy", filled.shift)
    save_array(draft / "wide.npy", filled.wide)
    return filled.imputed
