"""Runs that several tests look at, each made when the first one asks, on the device that the test is about."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.support.metric_views import where


class RunsThere(Mapping[str, Path]):
    """Name -> the folder of a run on the device in question.

    Args:
        names: what there is.
        made: carries out the run of a name.
    """

    def __init__(self, names: Mapping[str, object], made: Callable[[str], Path]) -> None:
        self.names, self.made = list(names), made
        self.found: dict[tuple[str, str], Path] = {}

    def __getitem__(self, name: str) -> Path:
        key = name, where[0].type
        if key not in self.found:
            self.found[key] = self.made(name)
        return self.found[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)
