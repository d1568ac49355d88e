"""Modules that are imported when they are first used, though others import them sooner."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def defer(name: str) -> None:
    """Let a module be imported when something of it is first used, not when others import it.

    Until then a module without contents takes its place. (``importlib.util.LazyLoader`` loads as soon as another
    import mentions the name.) Nothing happens if the module is imported already.
    """
    if name in sys.modules:
        return
    stand_in = ModuleType(name)

    def use(attribute: str) -> Any:
        # Who goes through all modules asks for such names, but does not mean this one.
        if attribute.startswith("__") and attribute != "__path__":
            raise AttributeError(attribute)
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(import_module(name), attribute)

    vars(stand_in)["__getattr__"] = use
    sys.modules[name] = stand_in
