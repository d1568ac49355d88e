"""Starts the engine of a given name; only the one that is used is imported."""

from fedlayers.config import Engine
from fedlayers.engines.base import EngineGrid, Workplace


def make_engine(name: str, workplace: Workplace, engine: Engine) -> EngineGrid:
    """Return the engine of that name, started."""
    if name == "local":
        from fedlayers.engines.local import LocalGrid

        return LocalGrid(workplace)
    if name == "ray":
        from fedlayers.engines.ray import RayGrid

        return RayGrid(workplace, engine)
    from fedlayers.engines.flower import FlowerGrid

    return FlowerGrid(workplace, engine)
