"""The program as a process: signals, kills, two at once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from tests.support.warm_programs import Program, output

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
ROUNDS = 5
JOB = ["clients=4", "metrics=[evaluation,weights]", "figures=false", "examples_per_client=null", "model.hidden=[200]"]
# Slow enough that a signal arrives in the middle, on any machine.
SLOW = ["training.batch_size=3", "partition=iid"]
# What a program finds when it starts.
SCRIPT = """
import json, os, signal, sys, threading
print("heard", sys.stdin.readline().strip(), file=sys.stderr)
print(json.dumps({
    "argv": sys.argv, "path": sys.path[0], "folder": os.getcwd(), "environment": dict(os.environ), "name": __name__,
    "threads": threading.active_count(), "tasks": os.listdir("/proc/self/task")[1:],
    "open": os.listdir("/proc/self/fd"),
    "handlers": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
    "leads": os.getpid() == os.getsid(0), "terminal": sys.stdout.isatty(),
}))
sys.exit(3)
"""
pytestmark = pytest.mark.slow


def start(folder: Path, *overrides: str, rounds: int = ROUNDS) -> subprocess.Popen[str]:
    words = [f"results_dir={folder}", f"rounds={rounds}", *JOB, *SLOW, "progress=plain", *overrides]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return Program(["-m", "fedlayers", *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen[str], timeout: float = 200) -> str:
    return process.communicate(timeout=timeout)[0]


def wait_for_round(process: subprocess.Popen[str], folder: Path, server_round: int) -> Path:
    """Return the run's folder once a round is committed."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the program ended early:\n{process.communicate()[0]}")
        for path in folder.glob("main/digits*"):
            if (path / "state" / f"server@{server_round}.json").exists():
                return path
        time.sleep(0.02)
    process.kill()
    pytest.fail(f"round {server_round} never came:\n{process.communicate()[0]}")


def end_of(processes: Sequence[psutil.Process], seconds: float) -> list[str]:
    """Return what still runs after a while."""
    deadline = time.monotonic() + seconds
    while True:
        # Ray's two agents notice the end of their node by themselves, a while later.
        alive = [name for name in map(name_if_alive, processes) if name and "Agent" not in name]
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.05)


def name_if_alive(process: psutil.Process) -> str | None:
    try:
        return process.name() if process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


@pytest.fixture(scope="module")
def undisturbed(quick_run: Run) -> Path:
    return quick_run("engine=local", f"rounds={ROUNDS}", *JOB, *SLOW)


@pytest.mark.parametrize(
    ("engine", "workers", "number", "code"),
    [("local", 1, signal.SIGINT, 130), ("ray", 2, signal.SIGTERM, 143), ("flower", 1, signal.SIGTERM, 143)],
)
def test_a_signal_ends_it_cleanly_and_it_continues(
    undisturbed: Path,
    quick_run: Run,
    tables: Tables,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    engine: str,
    workers: int,
    number: int,
    code: int,
) -> None:
    several = [] if engine == "local" else [f"engine.workers={workers}"]
    process = start(tmp_path, f"engine={engine}", *several)
    run = wait_for_round(process, tmp_path, 1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    output = finish(process, timeout=60)
    assert process.returncode == code, output
    assert "Traceback" not in output
    facts = json.loads((run / "run.json").read_text())
    assert facts["status"] == "stopped"
    assert 1 <= facts["round"] < ROUNDS
    assert not (run / "run.lock").exists()
    assert end_of(children, 60) == []
    assert quick_run("engine=local", f"rounds={ROUNDS}", *JOB, *SLOW, folder=tmp_path) == run
    assert f"continuing after round {facts['round']}" in capsys.readouterr().out
    assert tables(run) == tables(undisturbed)


def test_killed_outright_it_continues_bit_for_bit_and_the_job_beside_it_notices_nothing(
    undisturbed: Path, quick_run: Run, tables: Tables, tmp_path: Path
) -> None:
    folders = [tmp_path / "killed", tmp_path / "beside"]
    killed, beside = (start(folder, "engine=ray", "engine.workers=1") for folder in folders)
    run = wait_for_round(killed, folders[0], 1)
    children = psutil.Process(killed.pid).children(recursive=True)
    killed.kill()
    killed.wait()
    assert end_of(children, 60) == []
    quick_run("engine=local", f"rounds={ROUNDS}", *JOB, *SLOW, folder=folders[0])
    assert (run / "done.json").exists()
    assert tables(run) == tables(undisturbed)
    # Each has a Ray of its own.
    output = finish(beside)
    assert beside.returncode == 0, output
    assert tables(next(folders[1].glob("main/digits*"))) == tables(undisturbed)


def test_a_second_process_leaves_a_live_run_alone(
    quick_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = start(tmp_path, "engine=local", rounds=1000)
    run = wait_for_round(first, tmp_path, 1)
    assert quick_run("engine=local", "rounds=1000", *JOB, *SLOW, folder=tmp_path) == run
    assert f"process {first.pid}" in capsys.readouterr().out
    first.send_signal(signal.SIGTERM)
    finish(first)
    assert json.loads((run / "run.json").read_text())["status"] == "stopped"


def test_runs_in_processes_of_their_own_stop_with_the_sweep_and_say_how_to_go_on(tmp_path: Path) -> None:
    """A signal to the whole group, as a terminal or a batch system sends it, while nobody reads the output any more."""
    words = ["-m", "seed=0,1", "hydra/launcher=local", "engine=local", f"results_dir={tmp_path}", "rounds=1000"]
    command = ["-m", "fedlayers", *words, *JOB, *SLOW]
    with (tmp_path / "err").open("w") as errors:
        process = Program(command, stdout=subprocess.PIPE, stderr=errors, start_new_session=True, env={**os.environ})
    assert process.stdout is not None
    wait_for_round(process, tmp_path, 1)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 1
    process.stdout.close()
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(100) == 143
    assert end_of(children, 60) == []
    said = (tmp_path / "err").read_text()
    assert said.startswith(
        "stopped; the same command continues after the last complete round, or begins if there is none\n"
    )
    assert "Traceback" not in said
    facts = [json.loads(path.read_text()) for path in tmp_path.glob("main/digits*/run.json")]
    assert {(one["status"], one["reason"]) for one in facts} == {("stopped", "SIGTERM")}
    assert list(tmp_path.glob("main/*/run.lock")) == []


@pytest.mark.parametrize("new_session", [True, False])
def test_a_program_that_need_not_import_is_as_if_started_anew(tmp_path: Path, new_session: bool) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    words, found = [str(script), "one", "two words"], []
    for start in (Program, lambda words, **how: subprocess.Popen([sys.executable, *words], text=True, **how)):
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with start(
            words, cwd=tmp_path, env={**os.environ, "OWN": "1"}, start_new_session=new_session, **streams
        ) as one:
            said, errors = one.communicate("hello\n", timeout=100)
        found.append((one.returncode, json.loads(said), errors))
    assert found[0] == found[1]
    assert found[0][0] == 3 and found[0][1]["leads"] is new_session and found[0][2] == "heard hello\n"


def test_it_is_waited_for_and_killed(tmp_path: Path) -> None:
    script = tmp_path / "waits.py"
    script.write_text("import sys\nprint('here', flush=True)\nsys.stdin.read()\n")
    with Program([str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
        assert one.stdout is not None and one.stdout.readline() == "here\n"
        assert one.poll() is None and psutil.pid_exists(one.pid)
        one.send_signal(signal.SIGKILL)
        assert one.wait(60) == -signal.SIGKILL == one.poll()


def test_its_module_is_the_main_one() -> None:
    done = output(["-m", "fedlayers", "lr=0.1"])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: no such key 'lr'; did you mean training.lr?\n"
