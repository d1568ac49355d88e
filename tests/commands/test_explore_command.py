"""``python -m fedlayers.explore``: says its address, answers, and ends at a signal."""

import json
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from fedlayers.commands.explore import main
from tests.support.fake_run import write_run
from tests.support.warm_programs import Program


def test_it_answers_at_the_address_that_it_says_until_a_signal(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    program = Program(["-m", "fedlayers.explore", str(run)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert program.stdout is not None
        line = program.stdout.readline()
        assert line.startswith(f"exploring {run}: http://127.0.0.1:")
        address = line.split()[2]
        with urllib.request.urlopen(f"{address}api/runs", timeout=60) as answer:
            assert [one["run"] for one in json.load(answer)] == [run.name]
        listening = urllib.request.urlopen(f"{address}api/events", timeout=60)
        assert listening.readline() == b"event: run\n"
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=60)
        assert program.returncode == 130 and errors == "stopped\n"
    finally:
        program.kill()


@pytest.mark.parametrize(("words", "sentence"), [
    (["nowhere"], "there is no folder nowhere"),
    (["RUN", "--host", "0.0.0.0"], "--token is needed with --host 0.0.0.0"),
    (["RUN", "--host", "203.0.113.7", "--token", "0123456789abcdef"], "--host 203.0.113.7 --port 0 cannot be listened"),
])  # fmt: skip
def test_a_mistake_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    run = write_run(tmp_path)
    assert main([str(run) if word == "RUN" else word for word in words]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("port", ["-1", "70000", "http"])
def test_a_port_has_its_range(capsys: pytest.CaptureFixture[str], port: str) -> None:
    with pytest.raises(SystemExit):
        main([f"--port={port}"])
    assert "--port" in capsys.readouterr().err
