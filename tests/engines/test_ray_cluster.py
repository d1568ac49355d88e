"""A Ray cluster of several nodes: several raylets on this machine, one of them killed in mid-round."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
import ray
from ray.cluster_utils import Cluster

from fedlayers.core.errors import UserError, WorkerLost
from fedlayers.engines.ray import shared_files
from fedlayers.engines.ray import workers as ray_workers
from fedlayers.engines.ray.shared_files import check_shared
from fedlayers.engines.ray.worker_pool import end_kept

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
# Rounds of a second or more, four clients, two at a time: there is work left when a loss is noticed.
SLOW = ["rounds=6", "algorithm.client._target_=tests.support.odd_clients.WaitingClient"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes with a CPU each, and a head that only leads."""
    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def wait_for(folder: Path, pattern: str) -> None:
    deadline = time.monotonic() + 60
    while not list(folder.glob(pattern)) and time.monotonic() < deadline:
        time.sleep(0.01)


def test_every_node_must_see_the_same_folders(cluster: Cluster, tmp_path: Path) -> None:
    ray.init(address=cluster.address, log_to_driver=False)
    (tmp_path / "run.lock").write_text("mine")
    said = check_shared({"run folder": tmp_path, "data": tmp_path / "nowhere"})
    resources = ray.cluster_resources()
    with_all = f"with 2 CPUs and {resources.get('GPU', 0):g} GPUs"
    assert said.startswith(f"Ray cluster of 3 nodes ({socket.gethostname()}")
    assert said.endswith(f") {with_all}; seen from every node: run folder")
    for content, problem in (("other", "has with another content"), (None, "cannot read")):
        answer = {"run folder": content}
        refused = pytest.raises(UserError, match=rf"must all see the run folder, got .* which node .* {problem}; put")
        with mock.patch.object(shared_files, "_answer", return_value=answer), refused:
            check_shared({"run folder": tmp_path})
    assert shared_files._content(str(tmp_path / "nowhere")) is None
    unanswered = mock.patch.object(ray, "get", side_effect=ray.exceptions.GetTimeoutError("no answer in time"))
    with (
        unanswered,
        pytest.raises(UserError, match=r"whose node .* does not answer \(no answer in time\); this package"),
    ):
        check_shared({"run folder": tmp_path})
    lost = ray.exceptions.TaskUnschedulableError("the node doesn't exist any more")
    with mock.patch.object(ray, "get", side_effect=lost):
        assert check_shared({"run folder": tmp_path}).startswith("Ray cluster of 3 nodes")
    ray.shutdown()


def test_several_runs_share_it(cluster: Cluster, quick_run: Run, tables: Tables) -> None:
    alone = tables(quick_run("engine=local", "device=cpu"))
    for _ in range(2):
        assert tables(quick_run("engine=ray", "engine.workers=1", f"engine.address='{cluster.address}'")) == alone
    assert ray.is_initialized()


def test_each_run_has_the_ray_that_it_asks_for(cluster: Cluster, quick_run: Run) -> None:
    ray.shutdown()
    quick_run("engine=ray", "engine.workers=1", "seed=7")
    own = ray.get_runtime_context().gcs_address
    quick_run("engine=ray", "engine.workers=1", "seed=8", f"engine.address='{cluster.address}'")
    assert ray.get_runtime_context().gcs_address == cluster.address != own
    quick_run("engine=ray", "engine.workers=1", "seed=9")
    assert ray.get_runtime_context().gcs_address not in (cluster.address, own)
    ray.shutdown()


def test_a_node_lost_in_mid_round_changes_no_number_and_without_any_the_run_says_so(
    cluster: Cluster, quick_run: Run, tables: Tables, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Workers on both nodes start together.
    end_kept()
    lost = min(cluster.worker_nodes, key=lambda node: str(node.unique_id))

    def kill() -> None:
        wait_for(tmp_path, "main/*/state/server@1.json")
        cluster.remove_node(lost, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    run = quick_run("engine=ray", f"engine.address='{cluster.address}'", *SLOW, folder=tmp_path)
    killer.join()
    assert "Ray cluster of 3 nodes" in capsys.readouterr().out
    assert "died; another is started" in (run / "log.txt").read_text()
    assert tables(run) == tables(quick_run("engine=local", "device=cpu", *SLOW))

    def kill_all() -> None:
        wait_for(tmp_path, "other/*/state/server@0.json")
        for node in list(cluster.worker_nodes):
            cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill_all)
    killer.start()
    with mock.patch.object(ray_workers, "START_S", 10.0), pytest.raises(WorkerLost, match="no worker process could be"):
        quick_run("engine=ray", f"engine.address='{cluster.address}'", *SLOW, "study=other", folder=tmp_path)
    killer.join()
