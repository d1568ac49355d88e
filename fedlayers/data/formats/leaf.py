"""LEAF's JSON: users with their examples, in a folder of training files and one of test files.

Every file is ``{"users": [...], "num_samples": [...], "user_data": {user: {"x": [...], "y": [...]}}}``, as LEAF's
``preprocess.sh`` leaves them in ``data/<name>/data/train`` and ``test``.

References:
    Caldas et al. 2018, LEAF: A Benchmark for Federated Settings, arXiv 1812.01097.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedlayers.core.errors import UserError
from fedlayers.data.source import damaged

PARTS = ("train", "test")
PAGE = "https://github.com/TalwalkarLab/leaf"


@dataclass(frozen=True)
class LeafExamples:
    """Examples of all users, training examples first, each user's together.

    Attributes:
        inputs, labels: what stands under ``x`` and ``y``.
        groups: whose each is, shape (n,), a place in ``users``.
        users: their names, in order.
        num_test: how many of the last ones are of the test files.
    """

    inputs: list[Any]
    labels: list[Any]
    groups: np.ndarray
    users: tuple[str, ...]
    num_test: int


def leaf_files(name: str, root: Path) -> list[Path]:
    """Return the JSON files of a data set, training files first.

    Args:
        name: the data set's, and its folder's in the folder of all data sets.
        root: that folder.

    Raises:
        UserError: there are none; says how they are made.
    """
    found = {part: sorted((root / name / part).glob("*.json")) for part in PARTS}
    if not all(found.values()):
        lacking = next(part for part in PARTS if not found[part])
        raise UserError(
            f"data_dir must name a folder with {name}/train/*.json and {name}/test/*.json, which are not downloaded, "
            f"got {root} without {name}/{lacking}; make them with data/{name}/preprocess.sh of {PAGE} and copy "
            "data/train and data/test there (its option --verify says whether they are whole)"
        )
    return [*found["train"], *found["test"]]


def read_leaf(
    files: Sequence[Path], most_users: slice | None = None, compact: Callable[[list[Any]], list[Any]] = list
) -> LeafExamples:
    """Return the examples that LEAF's files hold.

    Args:
        files: from :func:`leaf_files`.
        most_users: which users, ranked by how many training examples they have (equal ones by name); None for all, in
            the order of their names.
        compact: makes of one user's inputs what takes less memory, file by file: lists of numbers take forty times as
            much as bytes. It raises ValueError where they are no such inputs.

    Raises:
        UserError: a file is something else.
    """
    held = {part: _users([file for file in files if file.parent.name == part], compact) for part in PARTS}
    users = sorted(held["train"].keys() | held["test"].keys())
    if most_users is not None:
        size = {user: len(held["train"].get(user, ([], []))[0]) for user in users}
        users = sorted(users, key=lambda user: -size[user])[most_users]
    inputs: list[Any] = []
    labels: list[Any] = []
    groups: list[int] = []
    counts: list[int] = []
    for part in PARTS:
        before = len(labels)
        for place, user in enumerate(users):
            x, y = held[part].get(user, ([], []))
            inputs += x
            labels += y
            groups += [place] * len(y)
        counts.append(len(labels) - before)
        if users and not counts[-1]:
            raise damaged(next(file.parent for file in files if file.parent.name == part), "no examples in it")
    return LeafExamples(inputs, labels, np.array(groups, np.int64), tuple(users), counts[1])


def _users(files: Sequence[Path], compact: Callable[[list[Any]], list[Any]]) -> dict[str, tuple[list[Any], list[Any]]]:
    """Return the examples of every user in some files."""
    found: dict[str, tuple[list[Any], list[Any]]] = {}
    for file in files:
        for user, data in _user_data(file).items():
            right = isinstance(data, dict) and isinstance(data.get("x"), list) and isinstance(data.get("y"), list)
            if not right or len(data["x"]) != len(data["y"]):
                raise damaged(file, f"user {user} has no x and y of equal lengths")
            x, y = found.setdefault(user, ([], []))
            try:
                x += compact(data["x"])
            except (TypeError, ValueError) as error:
                raise damaged(file, f"user {user}: {error}") from error
            y += data["y"]
    return found


def _user_data(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise damaged(file, f"no JSON: {error}") from error
    users = content.get("user_data") if isinstance(content, dict) else None
    if not isinstance(users, dict):
        raise damaged(file, "no user_data in it")
    return users
