"""The grammar of metric names: a base name, and before it what is changed about the metric of that name.

``name := (argument "-")* base``, ``argument := head ("&" flag)*``, such as ``nb-sum&diag-l2_dst``. The argument next to
the base is applied first. Heads are ``nb`` (biases are dropped first) and ``fb`` (biases are fused with their weights
first), both for distances between weights only, and the keys of
:data:`metrics.distances.families.aggregation.AGGREGATIONS` (how layer distances make a model distance), which take the
flags ``diag`` (each layer is compared with its counterpart only) and ``full`` (with every layer).
"""

import itertools
from collections.abc import Collection
from dataclasses import dataclass

from fedlayers.core.spelling import did_you_mean, nearest
from metrics.distances.families.aggregation import AGGREGATIONS

NO_BIAS = "nb"
FUSED_BIAS = "fb"
DIAGONAL = "diag"
FULL = "full"
HEADS = (NO_BIAS, FUSED_BIAS, *AGGREGATIONS)
FLAGS = (DIAGONAL, FULL)


@dataclass(frozen=True)
class Argument:
    """One change to a metric: its head, and its flags, which only aggregations have."""

    head: str
    flags: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "&".join((self.head, *self.flags))


@dataclass(frozen=True)
class MetricName:
    """A name taken apart: its arguments from left to right, and the base name."""

    arguments: tuple[Argument, ...]
    base: str


def parse_name(name: str) -> MetricName:
    """Return the parts of a metric's name; whether there is a metric of the base name is not asked.

    Raises:
        ValueError: if a part is empty, a head or flag is unknown, flags contradict or repeat each other or belong to
            something without flags, or an argument has the same head as the one before it.
    """
    *before, base = name.split("-")
    if "" in (*before, base):
        raise ValueError(f"metric name {name!r} has an empty part: parts are joined by single '-'")
    if "&" in base:
        raise ValueError(f"metric name {name!r} has flags on {base.split('&')[0]!r}, only aggregations have flags")
    arguments = tuple(_argument(part, name) for part in before)
    for argument, following in itertools.pairwise(arguments):
        if argument.head == following.head:
            raise ValueError(f"metric name {name!r} has {argument.head!r} twice in a row; leave one")
    return MetricName(arguments, base)


def check_base_name(name: str) -> None:
    """Raise ValueError if a name cannot be a base name: if it is empty or holds ``-`` or ``&``."""
    if not name or "-" in name or "&" in name:
        raise ValueError(f"a metric's name must not be empty nor hold '-' or '&', which build variants, got {name!r}")


def known_names(word: str, known: Collection[str]) -> str:
    """Return advice for an unknown word: the known one spelt most like it, if any is close, and all known ones."""
    close = nearest(word, known)
    meant = f"{did_you_mean(repr(close))} " if close else ""
    return f"{meant}known: {', '.join(known)}"


def _argument(part: str, name: str) -> Argument:
    head, *flags = part.split("&")
    if head not in HEADS:
        raise ValueError(f"metric name {name!r} has the unknown argument {head!r}; {known_names(head, HEADS)}")
    if flags and head not in AGGREGATIONS:
        raise ValueError(f"metric name {name!r} has flags on {head!r}, only aggregations have flags")
    for flag in flags:
        if flag not in FLAGS:
            raise ValueError(f"metric name {name!r} has the unknown flag {flag!r}; {known_names(flag, FLAGS)}")
    if len(flags) > 1:
        raise ValueError(f"metric name {name!r} has several flags on {head!r}; leave one of {', '.join(flags)}")
    return Argument(head, tuple(flags))
