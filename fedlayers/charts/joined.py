"""Modules of the page as one file: a browser asks once where it would ask for each of them."""

import re
from collections.abc import Mapping

_IMPORT = re.compile(r'^import (?:\* as (?P<all>\w+)|(?P<some>\{[^}]*\})) from "(?P<name>[^"]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|let|class) (\w+))", re.MULTILINE)
_LATER = re.compile(r'\bimport\("([^"]+)"\)')
_OTHER = re.compile(r"^(?:import|export|await)\b.*$", re.MULTILINE)


def joined(texts: Mapping[str, str]) -> str:
    """Return a module that runs others, each once and after those that it imports.

    What each exports is held under its name by ``fedlayersModules``, where modules of other files find it, too; one
    that is imported later comes by ``moduleOf``, see ``web/first.js``.

    Args:
        texts: name of a module, such as ``fedlayers/data.js`` -> what it says.

    Raises:
        ValueError: a module imports or exports in another way than the page's modules do, or itself by way of others.
    """
    found: dict[str, str] = {}

    def add(name: str, within: tuple[str, ...]) -> None:
        if name in within:
            raise ValueError(f"modules import one another: {' -> '.join([*within, name])}")
        if name in texts and name not in found:
            for match in _IMPORT.finditer(texts[name]):
                add(match["name"], (*within, name))
            found[name] = _held(name, texts[name])

    for name in texts:
        add(name, ())
    return "\n".join(["const held = (globalThis.fedlayersModules ??= {});", *found.values()])


def _held(name: str, text: str) -> str:
    """Return what runs a module and holds what it exports."""
    exported = [match[1] for match in _EXPORT.finditer(text)]
    own = _LATER.sub(r'moduleOf("\1")', _EXPORT.sub("", _IMPORT.sub(_looked_up, text)))
    if other := _OTHER.search(own):
        raise ValueError(f"{name} cannot be put into one file with other modules: {other[0]}")
    # What is exported may change later.
    shown = " ".join(f"get {one}() {{ return {one}; }}," for one in exported)
    return f'held["{name}"] = (() => {{\n{own}\nreturn {{ {shown} }};\n}})();'


def _looked_up(match: re.Match[str]) -> str:
    names = match["all"] or match["some"].replace(" as ", ": ")
    return f'const {names} = held["{match["name"]}"];'
