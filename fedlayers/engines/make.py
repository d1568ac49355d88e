"""Checks and starts the engine of a given name; only the one that is used is imported."""

from fedlayers.config import Engine
from fedlayers.engines.base import EngineGrid, Workplace


def check_engine(name: str, engine: Engine, clients: int) -> None:
    """Start or join the Ray that an engine needs and see that its workers fit there, before anything else is done.

    Raises:
        UserError: there is no Ray at ``engine.address``, or a worker needs more than it has.
    """
    if name != "local":
        from fedlayers.engines.cluster import connect
        from fedlayers.engines.ray import resources

        connect(engine.address)
        resources(engine, clients)


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
