"""A Ray of our own is reachable by its owner alone."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

OWNER = """
import json, os, ray
from fedlayers.engines.ray.cluster import connect

@ray.remote
def answer():
    return 42

connect(None)
assert ray.get(answer.remote()) == 42
assert "RAY_AUTH_MODE" not in os.environ
node = ray._private.worker.global_worker.node
print(json.dumps([node.gcs_address, node.get_session_dir_path()]), flush=True)
input()
"""
# Python's own files may lie where only this user can read: the process becomes another user once it has imported them.
STRANGER = """
import os, sys
from ray._raylet import GcsClient
address, folder, user = sys.argv[1:]
if user != "same":
    os.setgroups([]); os.setgid(int(user)); os.setuid(int(user))
for attempt in (lambda: os.listdir(folder), lambda: open(folder + "/token").read(),
                lambda: GcsClient(address=address).internal_kv_keys(b"", None)):
    try:
        print("allowed", attempt())
    except Exception as error:
        print(type(error).__name__)
"""
NOBODY = 65534


@dataclass(frozen=True)
class Running:
    """A process with a Ray of its own."""

    process: psutil.Process
    address: str
    folder: Path


@pytest.fixture(scope="module")
def ray_of_our_own() -> Iterator[Running]:
    command = [sys.executable, "-c", OWNER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address, session = json.loads(process.stdout.readline())
        yield Running(psutil.Process(process.pid), address, Path(session).parent.parent)
        process.communicate("\n")


def attempts(running: Running, user: str, **variables: str) -> list[str]:
    """Return how a stranger's attempts end: to list the folder, to read the token, to talk to Ray."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", STRANGER, running.address, str(running.folder), user]
    found = subprocess.run(command, env={**environment, **variables}, capture_output=True, text=True, check=True)
    return found.stdout.splitlines()


@pytest.mark.slow
def test_its_servers_listen_on_the_loopback_interface_alone(ray_of_our_own: Running) -> None:
    owner = ray_of_our_own.process
    listening = {
        connection.laddr.ip
        for process in (owner, *owner.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening and {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


@pytest.mark.slow
def test_it_has_no_processes_for_dashboards_logs_or_more_nodes(ray_of_our_own: Running) -> None:
    scripts = {
        Path(word).name
        for process in ray_of_our_own.process.children(recursive=True)
        for word in process.cmdline()[:4]
        if word.endswith(".py")
    }
    assert not scripts & {"dashboard.py", "log_monitor.py", "monitor.py"}


@pytest.mark.slow
def test_its_workers_have_the_priority_of_the_program_itself(ray_of_our_own: Running) -> None:
    workers = [p for p in ray_of_our_own.process.children(recursive=True) if "ray::" in " ".join(p.cmdline())]
    assert [worker.nice() for worker in workers] == [ray_of_our_own.process.nice()] * len(workers) != []


@pytest.mark.slow
def test_its_folder_and_token_are_the_owners(ray_of_our_own: Running) -> None:
    folder = ray_of_our_own.folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "token").stat().st_mode & 0o777 == 0o600
    assert len((folder / "token").read_text()) == 64


@pytest.mark.slow
def test_a_client_without_the_token_or_with_another_is_refused(ray_of_our_own: Running) -> None:
    assert attempts(ray_of_our_own, "same")[-1] == "AuthenticationError"
    assert attempts(ray_of_our_own, "same", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64)[-1] == "AuthenticationError"
    path = str(ray_of_our_own.folder / "token")
    assert attempts(ray_of_our_own, "same", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=path)[-1].startswith("allowed")


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_is_refused(ray_of_our_own: Running) -> None:
    refused = ["PermissionError", "PermissionError", "AuthenticationError"]
    assert attempts(ray_of_our_own, str(NOBODY)) == refused
