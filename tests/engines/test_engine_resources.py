"""What workers ask of Ray: shares of its GPUs, and the device that server and clients have in common."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import ray
import torch

from fedlayers.config.compose import compose_config
from fedlayers.config.schema.settings import Engine
from fedlayers.core.errors import UserError
from fedlayers.engines.make import checked_engine, settled_device
from fedlayers.engines.ray import cluster
from fedlayers.engines.ray.resources import gpu_share, resources
from fedlayers.execution import execute


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


NO_GPU = "on the CPU, because Ray has no GPU, though this process sees one"


@pytest.mark.parametrize(
    ("overrides", "has", "seen", "device"),
    [
        (["engine.address=a:1"], {"CPU": 2.0}, True, ("cpu", NO_GPU)),
        (["engine=flower", "engine.address=a:1"], {"CPU": 2.0}, True, ("cpu", NO_GPU)),
        (["engine=ray"], {"CPU": 2.0}, True, ("cpu", NO_GPU)),
        (["engine.address=a:1"], {"CPU": 2.0, "GPU": 1.0}, True, ("auto", "")),
        (["engine.address=a:1"], {"CPU": 2.0}, False, ("auto", "")),
        (["engine.address=a:1", "device=cuda"], {"CPU": 2.0}, True, ("cuda", "")),
        (["engine=local"], {"CPU": 2.0}, True, ("auto", "")),
        ([], {"CPU": 2.0}, True, ("auto", "")),
    ],
    ids=["joined", "flower", "the program's own", "GPUs", "none here either", "as asked", "local", "not chosen yet"],
)
def test_server_and_clients_compute_on_what_ray_has(
    overrides: list[str], has: Mapping[str, float], seen: bool, device: tuple[str, str]
) -> None:
    with ray_with(**has), mock.patch.object(torch.cuda, "is_available", return_value=seen):
        assert settled_device(compose_config(overrides)) == device


def test_a_run_says_that_it_computes_on_the_cpu(
    quick_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(execute, "settled_device", lambda _: ("cpu", NO_GPU))
    quick_run("engine=local", "rounds=1", "metrics=[]")
    assert f"engine: local (as asked; {NO_GPU})" in capsys.readouterr().out


def test_gpus_that_ray_has_not_are_refused() -> None:
    with ray_with(CPU=2.0), pytest.raises(UserError, match="device must be cpu where Ray has no GPU, got 'cuda', whi"):
        checked_engine("ray", Engine(), "cuda", 3)
