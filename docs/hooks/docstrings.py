"""Docstrings are written for readers of the source; in the site their roles are links and their tables tables."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import griffe

# :class:`metrics.base.Metric`
ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc):`~?([\w.]+)`")
# Rows between lines of equals signs, whose gaps are those between the columns.
TABLE = re.compile(r"^(=+(?: =+)+)\n(.*)\n\1\n((?:.*\n)+?)\1$", re.MULTILINE)
CODE_FOLLOWS = re.compile(r"::$", re.MULTILINE)
PACKAGES = ("fedlayers", "metrics", "clients", "strategies")


class Docstrings(griffe.Extension):  # type: ignore[misc]  # griffe is part of the documentation's environment only
    """Turn roles into links to where the name is defined; what the site does not show stays a name."""

    def on_package(self, *, pkg: Any, **kwargs: Any) -> None:
        """Rewrite the docstrings of a package, once all of it is known."""
        for owner in _owners(pkg):
            if owner.docstring:
                text = TABLE.sub(_table, CODE_FOLLOWS.sub(":", owner.docstring.value))
                owner.docstring.value = ROLE.sub(partial(_link, owner), text)


def _owners(owner: Any) -> Iterator[Any]:
    yield owner
    for member in owner.members.values():
        if not member.is_alias:
            yield from _owners(member)


def _table(found: re.Match[str]) -> str:
    """Return the same table with bars between its columns."""
    spans = [slice(rule.start(), rule.end()) for rule in re.finditer("=+", found[1])]
    spans[-1] = slice(spans[-1].start, None)
    rows = [[line[span].strip() for span in spans] for line in [found[2], *found[3].splitlines()]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [rows[0], ["---"] * len(spans), *rows[1:]])


def _link(here: Any, role: re.Match[str]) -> str:
    """Return a link, or the name as code. A name that nothing has stays a link, which leads nowhere: a warning."""
    name = role[1]
    found = _found(here, name)
    if found is None and name.split(".")[0] not in PACKAGES and "." in name:
        return f"`{name}`"
    if found is not None and not found.is_module and (found.name.startswith("_") or found.docstring is None):
        return f"`{name}`"
    return f"[`{name}`][{name if found is None else found.path}]"


def _found(here: Any, name: str) -> Any | None:
    """Return what a name means in a docstring: a member of its class, a name of its module, or a full name."""
    name = name.removeprefix(f"{here.package.name}.")
    while here is not None:
        if found := _member(here, name):
            return found
        here = here.parent
    return None


def _member(owner: Any, name: str) -> Any | None:
    try:
        found = owner.all_members[name] if "." not in name else owner[name]
    except (KeyError, griffe.AliasResolutionError):
        return None
    return found.final_target if found.is_alias else found
