"""A folder in HetVis' layout opened again: arrays only, never a pickled object."""

import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fedlayers.core.errors import UserError
from fedlayers.export.hetvis.layout import OUTPUTS, WEIGHTS, Layout

_HOLDS_OBJECTS = "Object arrays cannot be loaded"


@dataclass(frozen=True)
class HetVisFolder:
    """What a folder in HetVis' layout holds.

    Attributes:
        layout: where it is.
    """

    layout: Layout

    @classmethod
    def open(cls, folder: str | Path) -> "HetVisFolder":
        """Return the folder of one data set.

        Args:
            folder: a DATA_DIR of HetVis, one client's: with ``datasets/<name>/samples.npz``.

        Raises:
            UserError: there is not just one data set in it.
        """
        root = Path(folder).expanduser()
        found = sorted(root.glob("datasets/*/samples.npz"))
        if len(found) != 1:
            raise UserError(
                f"{root} must hold one datasets/<name>/samples.npz, got {len(found)}: "
                "give one client's folder, <run>/Client-<i>"
            )
        return cls(Layout(root, found[0].parent.name))

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """The records: names of clients and labels, shape, raw values and labels by input set."""
        return arrays(self.layout.samples)

    @cached_property
    def rounds(self) -> list[int]:
        """The rounds whose server parameters there are, ascending."""
        files = (self.layout.history / WEIGHTS).glob("Server_r*.npz")
        return sorted(int(file.stem.removeprefix("Server_r")) for file in files)

    def outputs(self, client: str, server_round: int | None = None) -> dict[str, np.ndarray]:
        """Return predicted classes of a client's records, by input set.

        Args:
            client: its name.
            server_round: of the federated model; None for the client's stand-alone one.

        Raises:
            UserError: there is no such file, or it holds pickled objects.
        """
        owner = "local" if server_round is None else f"Server_r{server_round}"
        return arrays(self.layout.history / OUTPUTS / f"{client}_{owner}.npz")

    def weights(self, owner: str, server_round: int) -> dict[str, np.ndarray]:
        """Return sampled parameters, ``layers`` and ``all``.

        Args:
            owner: ``Server`` or a client's name.
            server_round: the round.

        Raises:
            UserError: there is no such file, or it holds pickled objects.
        """
        return arrays(self.layout.history / WEIGHTS / f"{owner}_r{server_round}.npz")


def arrays(file: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a npz file by name.

    Raises:
        UserError: it is not there, is none, or holds pickled objects, which can run any code.
    """
    try:
        with np.load(file, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except FileNotFoundError:
        raise UserError(f"there is no {file}: give a complete folder of HetVis") from None
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        objects = str(error).startswith(_HOLDS_OBJECTS)
        what = "it holds pickled objects, which can run any code" if objects else "it is no npz file"
        raise UserError(
            f"{file} cannot be opened ({what}): write the folder with export=[hetvis], or save each array under a name "
            "of its own"
        ) from None
