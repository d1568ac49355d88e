"""Checks and starts the engine of a given name; only the one that is used is imported."""

from dataclasses import replace

from fedlayers.config.settings import Config, Engine
from fedlayers.engines.base import EngineGrid, Workplace


def settled_device(config: Config) -> str:
    """Return the device to ask for: ``auto`` is the CPU, for clients and server alike, where a joined Ray has no GPU.

    Raises:
        UserError: there is no Ray at ``engine.address``.
    """
    if config.device != "auto" or config.engine.address is None or config.engine.name == "local":
        return config.device
    from fedlayers.engines.ray.cluster import connect
    from fedlayers.engines.ray.resources import has_gpus

    connect(config.engine.address)
    return "auto" if has_gpus() else "cpu"


def checked_engine(name: str, engine: Engine, device: str, clients: int) -> Engine:
    """Start or join the Ray that an engine needs and see that its workers fit there, before anything else is done.

    Returns:
        The engine's settings with each worker's share of a GPU.

    Raises:
        UserError: there is no Ray at ``engine.address``, or a worker needs more than it has.
    """
    if name == "local":
        return engine
    from fedlayers.engines.ray.cluster import connect
    from fedlayers.engines.ray.resources import gpu_share, resources

    connect(engine.address)
    engine = replace(engine, client_gpus=gpu_share(engine, device, clients))
    resources(engine, clients)
    return engine


def make_engine(name: str, workplace: Workplace, engine: Engine) -> EngineGrid:
    """Return the engine of that name, started."""
    if name == "local":
        from fedlayers.engines.local import LocalGrid

        return LocalGrid(workplace)
    if name == "ray":
        from fedlayers.engines.ray.engine import RayGrid

        return RayGrid(workplace, engine)
    from fedlayers.engines.flower_runtime import FlowerGrid

    return FlowerGrid(workplace, engine)
