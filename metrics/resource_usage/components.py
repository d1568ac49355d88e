"""The time of named parts of a step, inside one another: what each takes with and without the parts inside it."""

from dataclasses import dataclass, field
from typing import Any

from metrics.resource_usage.clocks import Clock

# Of marks that were not read yet; older ones are read while the epoch runs.
_MOST_PENDING = 512


@dataclass
class ComponentTime:
    """A component in one epoch.

    Attributes:
        seconds: with everything inside it.
        own_seconds: without the components inside it.
        calls: how often it was ended.
    """

    seconds: float = 0.0
    own_seconds: float = 0.0
    calls: int = 0


@dataclass
class _Open:
    name: str
    path: str
    mark: Any
    # Of those directly inside it.
    inner: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass
class Components:
    """The components of one epoch.

    A component inside another one has both names: ``backward_pass/all_reduce``.

    Args:
        clock: what marks the times.
    """

    clock: Clock
    times: dict[str, ComponentTime] = field(default_factory=dict)
    _open: list[_Open] = field(default_factory=list)
    _pending: list[tuple[str, Any, Any, list[tuple[Any, Any]]]] = field(default_factory=list)

    @property
    def innermost(self) -> str | None:
        """The name of the component that was started last and is not ended."""
        return self._open[-1].name if self._open else None

    @property
    def names(self) -> list[str]:
        """Names of the components that are not ended, the outermost first."""
        return [one.name for one in self._open]

    def start(self, name: str) -> None:
        """Begin a component inside the one that is under way."""
        path = "/".join([*self.names, name])
        self._open.append(_Open(name, path, self.clock.mark()))

    def end(self) -> str:
        """End the innermost component and return its name."""
        one, now = self._open.pop(), self.clock.mark()
        if self._open:
            self._open[-1].inner.append((one.mark, now))
        self._pending.append((one.path, one.mark, now, one.inner))
        if len(self._pending) > _MOST_PENDING:
            self._read(len(self._pending) // 2)
        return one.name

    def settle(self) -> dict[str, ComponentTime]:
        """Read all marks and return the times by path."""
        self._read(len(self._pending))
        return self.times

    def _read(self, count: int) -> None:
        for path, first, second, inner in self._pending[:count]:
            whole = self.clock.between(first, second)
            within = sum(self.clock.between(*marks) for marks in inner)
            time = self.times.setdefault(path, ComponentTime())
            time.seconds += whole
            time.own_seconds += max(whole - within, 0.0)
            time.calls += 1
        del self._pending[:count]
