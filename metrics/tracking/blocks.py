"""Trackers in blocks of code: what a pair of calls begins and ends."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self


class Hooked:
    """Has hooks on a model between two calls."""

    @abstractmethod
    def register_hooks(self) -> None:
        """Begin."""

    @abstractmethod
    def remove_hooks(self) -> None:
        """End."""

    @contextmanager
    def hooks(self) -> Iterator[Self]:
        """Track in a block of code: :meth:`register_hooks` before it, :meth:`remove_hooks` after it."""
        self.register_hooks()
        try:
            yield self
        finally:
            self.remove_hooks()


class Timed:
    """Times parts of a step, each between two calls."""

    @abstractmethod
    def start_component(self, name: str) -> None:
        """Begin a part."""

    @abstractmethod
    def end_component(self, name: str) -> None:
        """End it."""

    @contextmanager
    def component(self, name: str) -> Iterator[None]:
        """Time a part in a block of code."""
        self.start_component(name)
        try:
            yield
        finally:
            self.end_component(name)
