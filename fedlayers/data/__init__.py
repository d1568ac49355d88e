"""What do clients learn from?

Data sets: where their files are, how they are prepared, and who holds which examples. May import ``core`` and
``config``.
"""

from fedlayers.core.federation import Examples, Federation
from fedlayers.data.load import load_federation

__all__ = ["Examples", "Federation", "load_federation"]
