"""A program whose output nobody reads any more goes on, and no command ends in a traceback over it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedlayers.core.machine import streams
from fedlayers.core.machine.streams import output_is_gone

PROGRAM = """
import os, sys
from fedlayers.core.machine.streams import keep_streams, output_is_gone
keep_streams()
keep_streams()
for number in range(3):
    print("line", number)
    print("error", number, file=sys.stderr)
    if number == 0 and len(sys.argv) > 1:
        sys.stdin.readline()
open(os.environ["TOLD"], "w").write(f"{output_is_gone()} {sys.stdout.fileno()}")
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    return tmp_path / "told"


def test_a_reader_that_leaves_ends_nothing(told: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", PROGRAM, "wait"], text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "line 0\n"  # at once, though it is a pipe
        process.stdout.close()
        process.stderr.close()
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.wait(60) == 0
    assert told.read_text() == "True 1"


def test_a_full_disk_and_closed_streams_end_nothing(told: Path) -> None:
    command = [sys.executable, "-c", PROGRAM]
    for redirected in (">/dev/full 2>/dev/full", ">&- 2>&- <&-", ">/dev/null 2>&1"):
        words = " ".join(f"'{word}'" for word in command)
        assert subprocess.run(f"{words} {redirected}", shell=True, check=False).returncode == 0
        assert told.read_text() == f"{'full' in redirected} 1"
        told.unlink()


def test_streams_that_somebody_has_put_there_stay(capsys: pytest.CaptureFixture[str]) -> None:
    before = (sys.stdout, sys.stderr)
    streams.keep_streams()
    assert (sys.stdout, sys.stderr) == before
    assert not output_is_gone()


def test_what_nobody_takes_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_gone", False)
    reading, writing = os.pipe()
    stream = streams._Patient(writing)
    assert stream.write(b"heard") == 5 and os.read(reading, 10) == b"heard"
    os.close(reading)
    assert stream.write(b"unheard") == 7
    assert output_is_gone()
    assert stream.writable() and not stream.isatty() and stream.fileno() == writing
    os.close(writing)
