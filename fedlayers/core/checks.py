"""Checks of single values, each with the sentence that tells what is allowed, what came and what to do."""

import math

from fedlayers.core.errors import UserError

# What counts: everything that is counted here is kept in 32 bits somewhere.
MOST = 2**31 - 1
# The largest number of single precision, in which weights are kept.
LARGEST = 3.4e38


def check(holds: bool, key: str, allowed: str, value: object, advice: str = "") -> None:
    """Raise :class:`UserError` unless ``holds``: the key, what is allowed, what came, what to do."""
    if not holds:
        raise UserError(f"{key} must be {allowed}, got {value!r}" + (f"; {advice}" if advice else ""))


def one_of(key: str, value: object, allowed: tuple[str, ...], advice: str = "") -> None:
    """Raise UserError unless the value is one of those that are allowed."""
    check(value in allowed, key, "one of " + ", ".join(allowed), value, advice)


def count(key: str, value: int | None, least: int = 1, otherwise: str = "", most: int = MOST) -> None:
    """Raise UserError unless a whole number is in its range.

    Args:
        key: the configuration key that the message names.
        value: the number; None is a matter of the key's type.
        least: the smallest that is allowed.
        otherwise: what else the key may be, such as ``, or null for all``.
        most: the largest that is allowed.
    """
    if value is not None:
        check(value >= least, key, f"{least} or more{otherwise}", value)
        check(value <= most, key, f"at most {most}", value)


def finite(value: float) -> bool:
    """Say whether a number can be computed with in single precision."""
    return math.isfinite(value) and abs(value) <= LARGEST


def positive(value: float) -> bool:
    """Say whether a number is positive and can be computed with in single precision."""
    return finite(value) and value > 0


def not_negative(value: float) -> bool:
    """Say whether a number is 0 or more and can be computed with in single precision."""
    return finite(value) and value >= 0


def check_folder_name(key: str, name: str) -> None:
    """Raise UserError unless a text can name a folder anywhere."""
    proper = bool(name.strip()) and name == name.strip() and len(name) <= 100
    proper = proper and not name.startswith(".") and not set("/\\") & set(name)
    check(proper, key, "a folder name without '/', at most 100 characters", name)
    check(name.isprintable() and len(name.encode()) <= 200, key, "a folder name of plain characters", name)
    why = "DuckDB would read a column out of seed=1 that hides the one in the table"
    check("=" not in name, key, "a folder name without '='", name, why)


def check_path(key: str, place: str) -> None:
    """Raise UserError unless a text can be the path of a file or folder."""
    check(bool(place.strip()), key, "a path", place)
    check(place.isprintable(), key, "a path of plain characters", place)
    longest = max(len(part.encode()) for part in place.split("/"))
    fits = longest <= 255 and len(place.encode()) <= 2000
    check(fits, key, "a path of at most 2000 bytes, each name in it of at most 255", place)
    written_out = not place.startswith(("~", "$"))
    check(written_out, key, "a path written out", place, "only the shell understands ~ and $")
