"""The names of HetVis' files, below a folder for one data set and one client."""

from dataclasses import dataclass
from pathlib import Path

SAMPLES, OUTPUTS, WEIGHTS, CHECKPOINTS = "samples.npz", "outputs", "weights", "checkpoints"


def client_name(client: int) -> str:
    """Return what HetVis calls a client."""
    return f"Client-{client}"


@dataclass(frozen=True)
class Layout:
    """Where HetVis looks for what.

    Attributes:
        root: its DATA_DIR.
        dataset: the data set's name there.
    """

    root: Path
    dataset: str

    @property
    def samples(self) -> Path:
        """The records: DATA_HOME/samples.npz."""
        return self.root / "datasets" / self.dataset / SAMPLES

    @property
    def history(self) -> Path:
        """What training left: HISTORY_DIR."""
        return self.root / "history" / self.dataset

    @property
    def affinity(self) -> Path:
        """How near records are to each other: CACHE_DIR/affinity_<data set>.npz."""
        return self.root / "cache" / f"affinity_{self.dataset}.npz"
