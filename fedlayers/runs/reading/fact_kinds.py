"""Of what kind the entries of a run.json are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedlayers.core.errors import UserError
from fedlayers.runs.damage import WRITTEN_ANEW

_KINDS: Mapping[type | tuple[type, ...], Sequence[str]] = {
    str: ("run", "status", "reason", "dataset", "partition", "model", "algorithm", "objective", "learner", "engine"),
    int: ("round", "rounds", "clients", "surveyed_clients", "seed", "parameters", "tokens"),
    (int, float): ("wall_s", "fraction"),
    list: ("layers", "classes", "client_names", "stretches", "shape"),
    dict: ("best", "files"),
}


def check_kinds(file: Path, facts: Mapping[str, Any]) -> None:
    """Check that what a run.json has is of the kind that the program writes.

    Raises:
        UserError: an entry is of another kind.
    """
    for kinds, keys in _KINDS.items():
        for key in keys:
            found = facts.get(key)
            if found is not None and (not isinstance(found, kinds) or isinstance(found, bool)):
                raise UserError(
                    f"{file} has {key} of another kind than fedlayers writes ({type(found).__name__}): {WRITTEN_ANEW}"
                )
