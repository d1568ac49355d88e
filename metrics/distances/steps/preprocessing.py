"""What a preprocessing step is: clients in, new clients out, before a distance looks at them."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np

from metrics.distances.weights.participant import Client, Model


class PreprocessingStep(ABC):
    """Turns clients into new clients: subclass and implement :meth:`__call__`.

    Two steps are equal if their classes and all their attributes are, arrays by content, so a step that is stated twice
    is known to be the same work. A step with parameters is best a frozen dataclass, with ``eq=False`` where it holds
    arrays, which a dataclass' own equality cannot compare::

        @dataclass(frozen=True, eq=False)
        class ShiftStep(PreprocessingStep):
            by: np.ndarray

            def __call__(self, clients: Sequence[Client]) -> list[Client]: ...

    Attributes:
        cost: time of one application, relative to that of other steps, above 0.
    """

    cost: float = 1.0

    @abstractmethod
    def __call__(self, clients: Sequence[Client]) -> list[Client]:
        """Return new clients; the given ones and their arrays stay as they are, the new ones may share arrays."""

    def __eq__(self, other: object) -> bool:
        return self is other or (type(self) is type(other) and _content(vars(self)) == _content(vars(other)))

    def __hash__(self) -> int:
        return hash((type(self), _content(vars(self))))


class ModelStep(PreprocessingStep):
    """A step that does the same to every client's model and to its gradient: implement :meth:`apply`."""

    @abstractmethod
    def apply(self, model: Model) -> Model:
        """Return the new model; the given one and its arrays stay as they are."""

    def __call__(self, clients: Sequence[Client]) -> list[Client]:
        """Return clients with the new models and gradients."""
        return [
            replace(
                client,
                model=self.apply(client.model),
                gradient=None if client.gradient is None else self.apply(client.gradient),
            )
            for client in clients
        ]


def preprocess_clients(clients: Sequence[Client], steps: Sequence[PreprocessingStep]) -> list[Client]:
    """Return the clients that the steps make of the given ones, one step after another.

    Args:
        clients: any number of clients; they stay as they are.
        steps: first step first; none returns the same clients in a new list.
    """
    found = list(clients)
    for step in steps:
        found = step(found)
    return found


def _content(value: Any) -> Hashable:
    """Return what equals another value's content exactly if the two hold the same, arrays included."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, blake2b(value.tobytes()).digest()
    if is_dataclass(value) and not isinstance(value, type):
        return type(value), tuple(_content(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, Mapping):
        return tuple((key, _content(value[key])) for key in sorted(value))
    if isinstance(value, list | tuple):
        return tuple(_content(item) for item in value)
    # 1 and True are equal to Python but not to a reader.
    return type(value), value
