"""What workers ask of Ray: shares of its GPUs, and the device that server and clients have in common."""

from collections.abc import Mapping
from dataclasses import replace
from unittest import mock

import pytest
import ray

from fedlayers.config.compose import compose_config
from fedlayers.config.settings import Engine
from fedlayers.core.errors import UserError
from fedlayers.engines.make import checked_engine, settled_device
from fedlayers.engines.ray import cluster
from fedlayers.engines.ray.resources import gpu_share, resources


@pytest.fixture(autouse=True)
def joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take any address for that of a Ray that is there."""
    monkeypatch.setattr(cluster, "connect", lambda _: None)


def ray_with(**has: float) -> "mock._patch[mock.MagicMock]":
    return mock.patch.object(ray, "cluster_resources", return_value=has)


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({"workers": 2}, 1.0),
        ({"workers": 3}, 0.6666),
        ({}, 0.6666),  # one worker a client, as there are CPUs for all three
        ({"client_cpus": 4.0}, 1.0),
        ({"client_gpus": 0.25}, 0.25),
        ({"workers": 10_000}, 0.0002),
    ],
    ids=["two workers", "three workers", "default", "few CPUs", "as asked", "very many"],
)
def test_clients_share_the_gpus(settings: Mapping[str, float], share: float) -> None:
    engine = replace(Engine(), **settings)  # type: ignore[arg-type]
    with ray_with(CPU=8.0, GPU=2.0):
        assert gpu_share(engine, "cuda", 3) == share
        assert gpu_share(engine, "cpu", 3) == settings.get("client_gpus", 0.0)


def test_workers_fit_where_they_share() -> None:
    with ray_with(CPU=8.0, GPU=2.0):
        engine = checked_engine("ray", Engine(), "cuda", 3)
        assert engine.client_gpus == 0.6666
        assert resources(engine, 3) == ({"num_cpus": 1.0, "num_gpus": 0.6666}, 3)


@pytest.mark.parametrize(
    ("overrides", "has", "device"),
    [
        (["engine.address=a:1"], {"CPU": 2.0}, "cpu"),
        (["engine.address=a:1"], {"CPU": 2.0, "GPU": 1.0}, "auto"),
        (["engine.address=a:1", "device=cuda"], {"CPU": 2.0}, "cuda"),
        ([], {"CPU": 2.0}, "auto"),
    ],
    ids=["joined without GPUs", "joined with GPUs", "as asked", "one of its own"],
)
def test_server_and_clients_compute_on_what_a_joined_ray_has(
    overrides: list[str], has: Mapping[str, float], device: str
) -> None:
    with ray_with(**has):
        assert settled_device(compose_config(overrides)) == device


def test_gpus_that_ray_has_not_are_refused() -> None:
    with ray_with(CPU=2.0), pytest.raises(UserError, match="device must be cpu or auto where Ray has no GPU, got"):
        checked_engine("ray", Engine(), "cuda", 3)
