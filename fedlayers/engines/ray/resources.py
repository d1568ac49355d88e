"""What each worker asks of Ray, and how many workers fit."""

import ray

from fedlayers.config.schema.settings import Engine
from fedlayers.core.errors import UserError


def has_gpus() -> bool:
    """Say whether Ray has GPUs: this process may see one where the cluster that it joined has none."""
    return bool(ray.cluster_resources().get("GPU", 0.0) > 0)


def gpu_share(engine: Engine, device: str, num_clients: int) -> float:
    """Return each worker's share of a GPU: as asked, else such that as many run as there are CPUs.

    Args:
        engine: the settings; a ``client_gpus`` of 0 stands for a share that fits.
        device: what clients compute on, ``cpu`` or ``cuda``.
        num_clients: how many clients there are.

    Raises:
        UserError: clients compute on GPUs and Ray has none.
    """
    if engine.client_gpus > 0 or device == "cpu":
        return engine.client_gpus
    total = ray.cluster_resources()
    gpus = total.get("GPU", 0.0)
    if gpus == 0:
        raise UserError("device must be cpu where Ray has no GPU, got 'cuda', which this process sees")
    workers = engine.workers or min(int(total.get("CPU", 0.0) / engine.client_cpus), num_clients)
    # Ray schedules shares of a GPU to four decimals.
    return int(gpus / max(workers, 1) * 1e4) / 1e4 or 1e-4


def resources(engine: Engine, num_clients: int) -> tuple[dict[str, float], int]:
    """Return what each worker asks of Ray and how many workers there are."""
    total = ray.cluster_resources()
    cpus, gpus = total.get("CPU", 0.0), total.get("GPU", 0.0)
    fit = int(cpus / engine.client_cpus)
    if fit == 0:
        raise UserError(
            f"engine.client_cpus must be at most the {cpus:g} CPUs that Ray has, got {engine.client_cpus:g}"
        )
    if engine.client_gpus > 0:
        fit = min(fit, int(gpus / engine.client_gpus))
        if fit == 0:
            raise UserError(
                f"engine.client_gpus must be at most the {gpus:g} GPUs that Ray has, got {engine.client_gpus:g}"
            )
    count = min(engine.workers or fit, num_clients)
    # More workers than CPUs are allowed (they share), fewer leave CPUs free.
    return {"num_cpus": min(engine.client_cpus, cpus / count), "num_gpus": engine.client_gpus}, count
