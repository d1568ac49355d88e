"""Hooks on modules that do not travel: a copy or a saved file of the model has none of them."""

from collections.abc import Callable
from typing import Any


def nothing(*_: Any, **__: Any) -> None:
    """Do nothing, in place of a hook in a copy of a model."""


def _none() -> Callable[..., None]:
    return nothing


class Hook:
    """A hook that calls a function; copied or pickled with its module it does nothing."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self._function(*args, **kwargs)

    def __reduce__(self) -> tuple[Callable[[], Callable[..., None]], tuple[()]]:
        """Return how a copy is made."""
        return _none, ()
