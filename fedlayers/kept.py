"""Arrays that the metrics' server halves keep for later rounds, such as representations to compare them with."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from fedlayers.disk import disk_errors, write_bytes

_NAME = re.compile(r"round=(\d{6})-(\w+)\.safetensors")


class Kept:
    """The files ``round=000001-after_local.safetensors`` in ``arrays/`` of a run's folder.

    Of every moment the first round's arrays and those of the last two rounds are kept: a round is compared with the
    first one and the one before, also when the last round has to be repeated.

    Args:
        run: the run's folder.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / "arrays"

    def write(self, server_round: int, moment: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write what was kept at a moment, named ``<metric>/<array>``, and delete what nothing will ask for."""
        with disk_errors(self.path):
            self.path.mkdir(exist_ok=True)
            write_bytes(self.path / f"round={server_round:06d}-{moment}.safetensors", save(dict(arrays)))
            rounds = self._rounds(moment)
            for place in rounds[1:-2]:
                self._file(place, moment).unlink()

    def read(self, metric: str, moment: str, before: int) -> dict[int, dict[str, np.ndarray]]:
        """Return what a metric kept at a moment of the first and the last round before a round: round -> arrays."""
        rounds = [place for place in self._rounds(moment) if place < before]
        return {place: self._arrays(place, moment, metric) for place in sorted({*rounds[:1], *rounds[-1:]})}

    def rewind(self, last: int) -> None:
        """Delete what is later than a round, or unfinished."""
        for path in self.path.glob("*"):
            found = _NAME.fullmatch(path.name)
            if found is None or int(found[1]) > last:
                path.unlink()

    def _rounds(self, moment: str) -> list[int]:
        found = [_NAME.fullmatch(path.name) for path in self.path.glob("round=*")]
        return sorted(int(match[1]) for match in found if match and match[2] == moment)

    def _file(self, server_round: int, moment: str) -> Path:
        return self.path / f"round={server_round:06d}-{moment}.safetensors"

    def _arrays(self, server_round: int, moment: str, metric: str) -> dict[str, np.ndarray]:
        with safe_open(self._file(server_round, moment), framework="numpy") as file:
            mine = [name for name in file.keys() if name.startswith(f"{metric}/")]  # noqa: SIM118 (not a mapping)
            return {name.removeprefix(f"{metric}/"): file.get_tensor(name) for name in mine}
