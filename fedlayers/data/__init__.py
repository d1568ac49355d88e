"""Data sets: where their files are, how they are prepared, and who holds which records."""

from fedlayers.core.federation import Federation, Records
from fedlayers.data.load import load_federation

__all__ = ["Federation", "Records", "load_federation"]
