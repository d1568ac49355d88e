"""Docstrings name things as ``:class:`metrics.base.Metric```: in the site these are links."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc):`~?([\w.]+)`")
PACKAGES = ("fedlayers", "metrics", "clients", "strategies")


class Roles(griffe.Extension):  # type: ignore[misc]  # griffe is part of the documentation's environment only
    """Turn roles into links to where the name is defined; what the site does not show stays a name."""

    def on_package(self, *, pkg: Any, **kwargs: Any) -> None:
        """Rewrite the docstrings of a package, once all of it is known."""
        for owner in _owners(pkg):
            if owner.docstring:
                owner.docstring.value = ROLE.sub(partial(_link, owner), owner.docstring.value)


def _owners(owner: Any) -> Iterator[Any]:
    yield owner
    for member in owner.members.values():
        if not member.is_alias:
            yield from _owners(member)


def _link(here: Any, role: re.Match[str]) -> str:
    """Return a link, or the name as code. A name that nothing has stays a link, which leads nowhere: a warning."""
    name = role[1]
    found = _found(here, name)
    if found is None and name.split(".", maxsplit=1)[0] not in PACKAGES and "." in name:
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
