"""A disk that is full or read-only is one sentence everywhere, and nothing half stays under its final name."""

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from fedlayers.commands import aggregate, plot, report, status
from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import DiskError, make_folder, whole_file
from fedlayers.figures import draw as draw_module
from fedlayers.runs.expected.expected_runs import drop_expected, forget_failure, note_failure, write_expected
from fedlayers.runs.expected.living_sweeps import sweeping
from fedlayers.studies.launching.job import remember
from fedlayers.studies.study import report as gather
from tests.support.fake_run import write_run

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
READ_ONLY = OSError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_run(tmp_path / "s")
    return tmp_path / "s"


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


COMMANDS: list[tuple[Callable[[Sequence[str]], int], list[str], str]] = [
    (aggregate.main, [], "study.parquet"),
    (plot.main, ["learning_curves"], "figures/learning_curves.png"),
    (report.main, [], "report.html"),
]


@pytest.mark.parametrize(("command", "words", "file"), COMMANDS)
def test_commands_say_it_in_one_sentence_and_leave_nothing_half(
    study: Path,
    command: Callable[[Sequence[str]], int],
    words: list[str],
    file: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command([str(study), *words]) == 0
    (study / file).write_bytes(b"old")
    before = names(study)
    capsys.readouterr()
    with mock.patch("os.fsync", side_effect=FULL):
        assert command([str(study), *words]) == 1
    said = capsys.readouterr().err
    assert said.startswith("cannot write ") and said.count("\n") == 1
    assert Path(file).name in said
    assert said.endswith(": the disk is full; mend that and start the same command again\n")
    assert (study / file).read_bytes() == b"old"
    assert names(study) == before


@pytest.mark.parametrize(("command", "words", "file"), COMMANDS)
def test_a_read_only_study_is_told(
    study: Path,
    command: Callable[[Sequence[str]], int],
    words: list[str],
    file: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = os.open

    def refuse(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return original(path, flags, *rest, **more)

    original_open = Path.open

    def refuse_path(self: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if "w" in mode:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
        return original_open(self, mode, *rest, **more)

    monkeypatch.setattr("os.open", refuse)
    monkeypatch.setattr("pathlib.Path.open", refuse_path)
    assert command([str(study), *words]) == 1
    said = capsys.readouterr().err
    assert "the file system is read-only; mend that and start" in said and said.count("\n") == 1


def test_a_figure_that_cannot_be_written_ends_drawing(study: Path) -> None:
    with mock.patch("os.fsync", side_effect=FULL), pytest.raises(DiskError, match=r"the disk is full"):
        draw_module.draw_main(study)
    assert list((study / "figures").iterdir()) == []


def test_a_sweep_tells_that_its_figures_cannot_be_written(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mock.patch("fedlayers.figures.draw.draw_main", side_effect=DiskError("cannot write x: the disk is full")):
        assert not gather({study: {}}, figures=True)
    assert "error: cannot write x: the disk is full" in capsys.readouterr().err


def in_sweep(study: Path) -> None:
    with sweeping({study: {"x": []}}):
        pytest.fail("went on")


@pytest.mark.parametrize(
    "write",
    [
        lambda study: write_expected(study, {"a": []}),
        lambda study: drop_expected(study, ["later"]),
        lambda study: note_failure(study / "a", "why"),
        lambda study: remember(study / "a", "77"),
        in_sweep,
        lambda study: make_folder(study / "a" / "b"),
        lambda study: forget_failure(study / "failed"),
    ],
)
def test_what_a_study_writes_beside_its_runs(study: Path, write: Callable[[Path], None]) -> None:
    write_expected(study, {"later": []})
    note_failure(study / "failed", "why")
    before = names(study) | {".jobs", ".sweeps"}
    full = {"os.fsync": FULL, "pathlib.Path.unlink": READ_ONLY} if "forget" in str(write.__code__.co_names) else {}
    targets = full or {"os.fsync": FULL, "pathlib.Path.mkdir": FULL}
    patches = [mock.patch(name, side_effect=error) for name, error in targets.items()]
    for patch in patches:
        patch.start()
    try:
        with pytest.raises(DiskError, match=r"cannot write .*(the disk is full|read-only)"):
            write(study)
    finally:
        for patch in patches:
            patch.stop()
    assert names(study) <= before


@pytest.mark.parametrize(
    "number", [errno.EISDIR, errno.EEXIST, errno.ENOTDIR, errno.EFBIG, errno.EIO, errno.ENAMETOOLONG]
)
def test_a_file_is_whole_or_not_there(tmp_path: Path, number: int) -> None:
    with (
        pytest.raises(DiskError, match=r"cannot write a/b: .*; mend that and start"),
        whole_file(tmp_path / "x") as file,
    ):
        file.write(b"half")
        raise OSError(number, os.strerror(number), "a/b")
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "x") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with whole_file(tmp_path / "x") as file:
        file.write(b"whole")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"whole"]


def test_something_else_of_that_name(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "figures").write_text("mine")
    assert plot.main([str(study), "learning_curves"]) == 1
    assert "figures: there is something else of that name" in capsys.readouterr().err
    (study / "study.parquet").mkdir()
    assert aggregate.main([str(study)]) == 1
    assert "study.parquet: there is a folder of that name" in capsys.readouterr().err
    (study / ".aggregate.lock").unlink(missing_ok=True)
    (study / ".aggregate.lock").mkdir()
    assert aggregate.main([str(study)]) == 1
    assert "cannot write " in capsys.readouterr().err


def test_commands_that_are_stopped_say_so(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mock.patch("fedlayers.commands.status.study_status", side_effect=KeyboardInterrupt):
        assert status.main([str(study)]) == 130
    assert capsys.readouterr().err == "stopped\n"
    with mock.patch("fedlayers.commands.status.study_status", side_effect=UserError("a mistake")):
        assert status.main([str(study)]) == 1
    assert capsys.readouterr().err == "a mistake\n"
