"""What a client's own hooks answer: one that forgets its ``return`` is told by its name."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from fedlayers.core.errors import UserError

P = ParamSpec("P")
Answer = TypeVar("Answer")


def answered(hook: Callable[P, Answer], *args: P.args, **kwargs: P.kwargs) -> Answer:
    """Return what a hook answers.

    Args:
        hook: a method of a client that its classes may override, and that has to answer something.
        args: what it is given.
        kwargs: the same, by name.

    Raises:
        UserError: it answers None.
    """
    found = hook(*args, **kwargs)
    if found is None:
        # A method or a function has one.
        name: str = hook.__qualname__
        raise UserError(f"algorithm.client: {name} must return what the method that it overrides returns, got None")
    return found
