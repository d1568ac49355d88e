"""What is imported when it is first used: public names of a package, and modules that others import sooner."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def on_first_use(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's ``__getattr__``, which imports its public names when they are first used.

    So importing the package stays fast, and modules of it may import one another.

    Args:
        package: the package's name.
        homes: public name -> the module that has it, below the package.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {', '.join(sorted(homes))}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return find


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
