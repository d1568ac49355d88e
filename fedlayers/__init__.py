"""fedlayers: see inside a federation, layer by layer.

In Python, ``fedlayers.run(dataset="FMNIST", rounds=2)`` does what the command line does and ``fedlayers.read(path)``
gives the tables of a run or a study as pandas frames, ``fedlayers.comparison(path)`` compares its algorithms.
"""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fedlayers.core import VERSION
from fedlayers.core.lazy_modules import defer, on_first_use

# Before anything imports Flower or Ray: neither may report home unless the user asks for it.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Workers use a GPU only where the configuration gives them a share: Ray need not hide them (it warns if unset).
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

if TYPE_CHECKING:
    from fedlayers.commands.comparing import comparison
    from fedlayers.commands.in_python import run
    from fedlayers.commands.opening import Run, open
    from fedlayers.commands.reading import Tables, read
    from fedlayers.core.errors import UserError
    from fedlayers.core.quantities import Facts
    from fedlayers.core.records import Pair, Record, Resource, Spectrum
    from fedlayers.runs.own_loop import Writer

__all__ = [
    "Facts", "Pair", "Record", "Resource", "Run", "Spectrum", "Tables", "UserError", "Writer",
    "__version__", "comparison", "open", "read", "run",
]  # fmt: skip
__version__ = VERSION
__getattr__ = on_first_use(
    __name__,
    {
        "Facts": "core.quantities",
        "Pair": "core.records",
        "Record": "core.records",
        "Resource": "core.records",
        "Run": "commands.opening",
        "Spectrum": "core.records",
        "Tables": "commands.reading",
        "UserError": "core.errors",
        "Writer": "runs.own_loop",
        "comparison": "commands.comparing",
        "open": "commands.opening",
        "read": "commands.reading",
        "run": "commands.in_python",
    },
)


def _refuse_foreign_packages() -> None:
    """Raise ImportError if another ``metrics``, ``clients`` or ``strategies`` shadows ours."""
    root = Path(__file__).resolve().parent.parent
    for name in ("strategies", "clients", "metrics"):
        spec = find_spec(name)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        if found is None or found.parent != root / name:
            raise ImportError(
                f"package '{name}' was found at {found} instead of {root / name}: a file of that name in the "
                "current folder, or another distribution, hides the one of fedlayers; rename the file or start "
                "from another folder, or use an environment of its own"
            )


_refuse_foreign_packages()
# flwr-datasets imports its figures, and with them seaborn and scipy.stats, for whoever wants a partitioner: a second.
defer("flwr_datasets.visualization")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
