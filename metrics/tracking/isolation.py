"""What fails in a tracker is told once, and the training goes on."""

import logging
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from fedlayers.core.machine.disk import DiskError

P = ParamSpec("P")
T = TypeVar("T")


_NOT_SAVED = ": what it should hold is not saved, the training goes on; free space there or give another save_dir"


class TrackingWarning(UserWarning):
    """A tracker could not do what it was asked for; the sentence says why, and what to call or to change."""


class TrackingMistake(ValueError):
    """A call that a tracker cannot follow: out of order, or of the wrong shape; the sentence says what to call."""


class Telling(Protocol):
    """Whoever keeps what was told of it."""

    problems: list[str]


S = TypeVar("S", bound=Telling)


def isolated(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T | None]:
    """Return a method that raises nothing: what it would raise becomes a warning, told once, and it returns None.

    A mistake of the caller is told once a sentence, a folder that cannot be written once, any other failure once a
    method and kind of error.
    """

    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return method(self, *args, **kwargs)
        except TrackingMistake as mistake:
            tell(self, str(mistake))
        except DiskError as error:
            if not any(told.endswith(_NOT_SAVED) for told in self.problems):
                tell(self, str(error).partition(";")[0] + _NOT_SAVED)
        except Exception as error:  # whatever it is: the training is worth more
            where = f"{method.__qualname__} failed with {type(error).__name__}"
            if not any(told.startswith(where) for told in self.problems):
                reason = " ".join(str(error).split())[:300]
                tell(self, f"{where} ({reason}): this part is not tracked, the training goes on")
        return None

    return call


def tell(tracker: Telling, sentence: str) -> None:
    """Warn, unless the same sentence was told before; where warnings are errors it goes to the log instead."""
    if sentence in tracker.problems:
        return
    tracker.problems.append(sentence)
    try:
        warnings.warn(sentence, TrackingWarning, stacklevel=4)
    except TrackingWarning:
        logging.getLogger("metrics").warning(sentence)
