"""What do clients learn from?

Data sets: where their files are, how they are prepared, and who holds which records. May import ``core`` and
``config``.
"""

from fedlayers.core.federation import Federation, Records
from fedlayers.data.load import load_federation

__all__ = ["Federation", "Records", "load_federation"]
