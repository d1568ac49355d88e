"""A folder of rows that opens like a run's, for those who know rows and layers but no configuration."""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fedlayers.core.layers import Layer, total
from fedlayers.core.machine.disk import make_folder, write_text
from fedlayers.core.quantities import Facts, Quantities, to_json
from fedlayers.core.records import SCHEMAS, Row, addressed, table_of, to_table
from fedlayers.core.tables.parts import WRITER, show_part, write_done, write_unseen


class RowFolder:
    """Writes rows, a part of each table a round, that ``fedlayers.read``, figures and report open like a run.

    What a round wrote may be replaced until :meth:`finish`.

    Args:
        path: the folder.
        quantities: how to read the values.
        layers: the model's layers in order.
        told: what figures and studies call the run by, see :class:`fedlayers.runs.own_loop.Writer`.

    Raises:
        DiskError: it cannot be written.
    """

    def __init__(self, path: Path, quantities: Iterable[Facts], layers: Sequence[Layer] = (), **told: Any) -> None:
        self.path, self._began, self._last = path, time.perf_counter(), 0
        for table in SCHEMAS:
            make_folder(path / table)
        write_text(path / "quantities.json", to_json(Quantities.of(quantities), indent=1) + "\n")
        self._facts: dict[str, Any] = {
            "run": path.absolute().name,
            "study": path.absolute().parent.name,
            "written_by": WRITER,
            **told,
            "layers": [layer_fact(at, layer) for at, layer in enumerate(layers)],
        }
        self._note(status="running", reason=None)

    def write(self, number: int, rows: Sequence[Row]) -> None:
        """Write the rows of a round, in place of those that it has.

        Args:
            number: of the round, 0 or more.
            rows: what they leave open is filled in: the round, the moment ``after_local``, owner and model.
        """
        part = f"round={number:06d}"
        whole = [_addressed(row, number) for row in rows]
        for name in dict.fromkeys(map(table_of, whole)):
            write_unseen(self.path / name, part, [to_table(name, [row for row in whole if table_of(row) == name])])
            show_part(self.path / name, part)
        self._last = max(self._last, number)
        self._note(round=self._last)

    def finish(self) -> None:
        """Say that the run is complete."""
        self._note(status="complete", rounds=self._last)
        write_done(self.path, self._last, time.perf_counter() - self._began, {})

    def _note(self, **facts: Any) -> None:
        self._facts |= {"wall_s": time.perf_counter() - self._began, **facts}
        write_text(self.path / "run.json", json.dumps(self._facts, indent=1))


def layer_fact(at: int, layer: str | Layer) -> dict[str, Any]:
    """Return what ``run.json`` says of a layer."""
    if isinstance(layer, str):
        return {"name": layer, "index": at}
    named = {"kind": layer.kind, "group": layer.group, "parameters": total([layer])}
    return {"name": layer.name, "index": at, **named}


def _addressed(row: Row, number: int) -> Row:
    owner, model = ("server", "global") if row.client is None else ("client", "personal")
    [full] = addressed([row], owner=owner, model=model, moment="after_local", round=number)
    return full
