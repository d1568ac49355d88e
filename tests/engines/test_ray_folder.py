"""Temporary folders of Ray: those of killed processes go, those of live ones stay."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fedlayers.engines.ray.temporary_folder import ray_folder, remove_left_over

OWNER = "from fedlayers.engines.ray.temporary_folder import ray_folder; print(ray_folder(), flush=True); input()"


def start_owner() -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_folder_goes_with_its_process_or_with_the_next_run() -> None:
    killed, left_over = start_owner()
    alive, used = start_owner()
    killed.kill()
    killed.communicate()
    assert left_over.is_dir()
    assert Path(ray_folder()).is_dir()
    assert not left_over.exists()
    assert used.is_dir()
    alive.communicate("\n")
    assert not used.exists()


def test_other_folders_stay(tmp_path: Path) -> None:
    (tmp_path / "flowers").mkdir()
    (tmp_path / "flowers" / "rose").touch()
    (tmp_path / "flat").touch()
    remove_left_over(tmp_path)
    assert (tmp_path / "flowers" / "rose").exists()
    assert (tmp_path / "flat").exists()


def test_its_name_is_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a folder with a name that is far too long"))
    assert len(ray_folder()) < 25
