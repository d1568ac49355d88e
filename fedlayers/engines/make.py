"""Checks and starts the engine of a given name; only the one that is used is imported."""

from dataclasses import replace

from fedlayers.config.schema.settings import Config, Engine
from fedlayers.core.machine.devices import resolve_device
from fedlayers.engines.base import EngineGrid, Workplace


def settled_device(config: Config) -> tuple[str, str]:
    """Return the device to ask for, and what to say about it, "" for nothing.

    ``auto`` is the CPU, for clients and server alike, where this process sees a GPU and the Ray that the run uses has
    none.

    Raises:
        UserError: there is no Ray at ``engine.address``.
    """
    engine = config.engine
    on_ray = engine.name in ("ray", "flower") or (engine.name == "auto" and engine.address is not None)
    if config.device != "auto" or not on_ray or resolve_device("auto").type == "cpu":
        return config.device, ""
    from fedlayers.engines.ray.cluster import connect
    from fedlayers.engines.ray.resources import has_gpus

    connect(engine.address)
    return ("auto", "") if has_gpus() else ("cpu", "on the CPU, because Ray has no GPU, though this process sees one")


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
