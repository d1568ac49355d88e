"""``quantities.json``: how to read the values of all quantities that a run measures. It is written before the rounds.

What draws or exports a run looks quantities up there and nowhere else, so that a metric of one's own has its unit as
well, and figures of a run stay as they are when the program states something else.
"""

import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import read_json, write_bytes
from fedlayers.core.quantities import QUANTITIES_VERSION, Facts, Quantities, to_json
from fedlayers.core.seals import Seal, digest, seals_from
from fedlayers.runs.commits import DamagedError
from fedlayers.runs.damage import WRITTEN_ANEW, TableWarning
from fedlayers.runs.integrity import problem_of

FILE = "quantities.json"
# In the metadata of a table.
_KEY = b"fedlayers.quantities"
_WAY_ON = "restore it from a copy, or start the same command again, which writes it anew"


if TYPE_CHECKING:
    import pyarrow as pa


class ClashWarning(TableWarning):
    """Runs of a study state different facts of one quantity; the text says which, and what is shown."""


def save_quantities(run: Path, facts: Iterable[Facts]) -> Seal:
    """Write the file and return its seal, which run.json keeps as one of its ``files``."""
    data = (to_json(Quantities.of(facts), indent=1) + "\n").encode()
    seal = Seal(len(data), digest(data))
    if problem_of(run / FILE, [seal]):
        write_bytes(run / FILE, data)
    return seal


def load_quantities(run: Path) -> Quantities:
    """Return what a run states, nothing if it is of a version that stated nothing.

    Raises:
        UserError: the file is missing or not as it was written.
    """
    check_quantities(run)
    path = run / FILE
    if not path.is_file():
        return Quantities()
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise DamagedError(path, "cannot be read", _WAY_ON) from error


def check_quantities(run: Path) -> None:
    """Check that the file is as run.json says it was written.

    Raises:
        UserError: it is not.
    """
    seal = seals_from(read_json(run / "run.json", WRITTEN_ANEW).get("files")).get(FILE)
    if seal and (what := problem_of(run / FILE, [seal])):
        raise DamagedError(run / FILE, what, _WAY_ON)


def quantities_of(runs: Sequence[Path]) -> Quantities:
    """Return what runs state; where they differ what holds for all, which is told with a :class:`ClashWarning`.

    Raises:
        UserError: the file of one of them is missing or not as it was written.
    """
    return merged({run.name: load_quantities(run) for run in runs})


def merged(stated: Mapping[str, Quantities]) -> Quantities:
    """Return what runs, by name, state in one; where they differ see :func:`quantities_of`."""
    found, whose = Quantities(), dict[str, str]()
    clashes: list[tuple[str, Facts]] = []
    for run, quantities in stated.items():
        for name, facts in quantities.items():
            if not found.setdefault(name, facts).reads_like(facts):
                clashes.append((run, facts))
            whose.setdefault(name, run)
    if clashes:
        run, facts = clashes[0]
        runs = _and_more(run, len({run for run, _ in clashes}))
        names = _and_more(facts.name, len({facts.name for _, facts in clashes}))
        first, differing = whose[facts.name], f"{_told(facts)}, {_told(found[facts.name])}"
        for _, other in clashes:
            found[other.name] = found[other.name].beside(other)
        together = _told(found[facts.name])
        text = f"{runs} states other facts of {names} than {first} ({differing}): together they are read as {together}"
        warnings.warn(text, ClashWarning, stacklevel=2)
    return found


def _and_more(first: str, number: int) -> str:
    """Return the first of so many, and how many others there are."""
    return first if number == 1 else f"{first} (and {number - 1} more)"


def noted(schema: "pa.Schema", quantities: Quantities) -> "pa.Schema":
    """Return the schema of a table that travels without its runs, with what they state in its metadata."""
    return schema.with_metadata({**(schema.metadata or {}), _KEY: to_json(quantities).encode()})


def stated_in(table: Path) -> Quantities:
    """Return what the metadata of a parquet file states, nothing if another program has written it."""
    import pyarrow.parquet as pq

    text = (pq.read_schema(table).metadata or {}).get(_KEY)
    return Quantities() if text is None else from_json(text.decode())


def from_json(text: str) -> Quantities:
    """Return the quantities of a text; entries that a later version may add are passed over.

    Raises:
        UserError: a later version has written it in another way.
        ValueError, TypeError, KeyError: it is no such text.
    """
    return Quantities.of(_facts_in(text))


@lru_cache(maxsize=16)
def _facts_in(text: str) -> tuple[Facts, ...]:
    """Return the facts of a text, which the runs of a study have in common."""
    content = json.loads(text)
    if content["version"] > QUANTITIES_VERSION:
        raise UserError(
            f"quantities are stated in version {content['version']}, and this program reads up to "
            f"{QUANTITIES_VERSION}: update fedlayers"
        )
    known = {field.name for field in fields(Facts)}
    return tuple(
        Facts(**_limits({key: value for key, value in entry.items() if key in known}))
        for entry in content["quantities"]
    )


def _limits(entry: dict[str, Any]) -> dict[str, Any]:
    low, high = entry["low"], entry["high"]
    return entry | {"low": -math.inf if low is None else float(low), "high": math.inf if high is None else float(high)}


def _told(facts: Facts) -> str:
    unit = facts.unit if facts.unit != "1" else "no unit"
    return f"{unit}, {facts.low:g} to {facts.high:g}, {facts.direction}{', symmetric' * facts.symmetric}"
