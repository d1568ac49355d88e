"""Arrays that the metrics' server halves keep for later rounds, such as representations to compare them with."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from fedlayers.core.machine.disk import disk_errors, write_bytes
from fedlayers.core.seals import Seal, digest, seal_of
from fedlayers.runs.file_names import KEPT, drop_after, rounds_of


class MetricMemory:
    """The files ``round=000001-after_local.safetensors`` in ``arrays/`` of a run's folder.

    Of every moment the first round's arrays and those of the last two rounds are kept: a round is compared with the
    first one and the one before, also when the last round has to be repeated.

    Args:
        run: the run's folder.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / "arrays"
        self._seals: dict[str, Seal] = {}

    def write(self, server_round: int, moment: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write what was kept at a moment, named ``<metric>/<array>``."""
        with disk_errors(self.path):
            self.path.mkdir(exist_ok=True)
            path, data = self._file(server_round, moment), save(dict(arrays))
            write_bytes(path, data)
            self._seals[path.name] = Seal(len(data), digest(data))

    def prune(self) -> None:
        """Delete what nothing will ask for, once the last round counts."""
        for moment, rounds in self._moments().items():
            for place in rounds[1:-2]:
                self._file(place, moment).unlink()

    def read(self, metric: str, moment: str, before: int) -> dict[int, dict[str, np.ndarray]]:
        """Return what a metric kept at a moment of the first and the last round before a round: round -> arrays."""
        rounds = [place for place in self._rounds(moment) if place < before]
        return {place: self._arrays(place, moment, metric) for place in sorted({*rounds[:1], *rounds[-1:]})}

    def seals(self) -> dict[str, Seal]:
        """Return file name -> seal of what later rounds may ask for: of every moment the first and the last one's."""
        needed = {(place, moment) for moment, places in self._moments().items() for place in (places[0], places[-1])}
        files = [self._file(place, moment) for place, moment in sorted(needed)]
        self._seals = {path.name: self._seals.get(path.name) or seal_of(path) for path in files}
        return self._seals

    def rewind(self, last: int) -> None:
        """Delete what is later than a round, or unfinished."""
        drop_after(self.path, KEPT, last)

    def _moments(self) -> dict[str, list[int]]:
        """Return moment -> rounds of which something is kept, ascending."""
        return rounds_of(self.path, KEPT)

    def _rounds(self, moment: str) -> list[int]:
        return self._moments().get(moment, [])

    def _file(self, server_round: int, moment: str) -> Path:
        return self.path / f"round={server_round:06d}-{moment}.safetensors"

    def _arrays(self, server_round: int, moment: str, metric: str) -> dict[str, np.ndarray]:
        with safe_open(self._file(server_round, moment), framework="numpy") as file:
            mine = [name for name in file.keys() if name.startswith(f"{metric}/")]  # noqa: SIM118 (not a mapping)
            return {name.removeprefix(f"{metric}/"): file.get_tensor(name) for name in mine}
