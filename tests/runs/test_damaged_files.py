"""run.json, config.yaml, done.json and states, truncated, empty or binary: one sentence, and its remedy works."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fedlayers.core.errors import UserError
from fedlayers.runs.commits import read_commit
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import read
from fedlayers.studies.aggregate import aggregate
from fedlayers.studies.status import study_status
from tests.execution.test_resume import Crash, crash_at

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
WORDS = ["engine=local", "clients=2", "metrics=[evaluation]"]
HARMS = {"half": b'{"rounds": 2, "wal', "empty": b"", "binary": b"\xff\xfe\0\x80", "list": b"[1]", "number": b"3"}
HARMS_OF_DONE = {**HARMS, "object": b"{}"}


@pytest.fixture(scope="module")
def finished(quick_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quick_run(*WORDS, folder=tmp_path_factory.mktemp("finished"))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "main" / finished.name))


def again(quick_run: Run, run: Path, *words: str) -> Path:
    return quick_run(*WORDS, *words, folder=run.parent.parent)


def sentence(file: str, *parts: str) -> str:
    return rf"^(?=[^\n]*$).*{re.escape(file)} .*" + ".*".join(parts)


@pytest.mark.parametrize("harm", HARMS)
def test_run_json(quick_run: Run, tables: Tables, finished: Path, run: Path, harm: str) -> None:
    (run / "run.json").write_bytes(HARMS[harm])
    with pytest.raises(
        UserError, match=sentence("run.json", "(cannot be read|must hold an object)", "delete it and start")
    ):
        again(quick_run, run)
    with pytest.raises(UserError, match=sentence("run.json", "delete it and start the same command again")):
        _ = read(run).facts
    assert run.name in aggregate(run.parent).failed
    if harm == "half":
        (run / "run.json").unlink()
        assert tables(again(quick_run, run)) == tables(finished)
        assert run_facts(run)["status"] == "complete" and run_facts(run)["round"] == 2
        assert run_facts(run)["best"] == run_facts(finished)["best"]


@pytest.mark.parametrize("harm", HARMS)
def test_config_yaml(quick_run: Run, run: Path, harm: str) -> None:
    kept = (run / "config.yaml").read_bytes()
    (run / "config.yaml").write_bytes(HARMS[harm])
    with pytest.raises(
        UserError, match=sentence("config.yaml", "(cannot be read|holds no configuration): restore", "delete")
    ):
        again(quick_run, run, "rounds=3")
    assert "config.yaml" in aggregate(run.parent).failed[run.name]
    if harm == "half":
        (run / "config.yaml").unlink()
        again(quick_run, run, "rounds=3")
        assert (run / "config.yaml").read_bytes().count(b"\n") == kept.count(b"\n")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "part": (lambda run: (run / "records/round=000002.parquet").unlink(), r"records/round=000002\.parquet is missing"),
    "cut": (
        lambda run: (run / "records/round=000001.parquet").write_bytes(b"PAR1"),
        r"round=000001\.parquet has 4 bytes instead of",
    ),
    "final": (lambda run: (run / "records/final.parquet").unlink(), r"records/final\.parquet is missing"),
    "state": (lambda run: shutil.rmtree(run / "state"), "state holds no checkpoint"),
    "commit": (lambda run: (run / "state/server@2.json").unlink(), r"server@2\.json is missing"),
    "arrays": (lambda run: (run / "state/server@2.safetensors").unlink(), r"server@2\.safetensors is missing"),
    "manifest": (lambda run: (run / "manifest.jsonl").unlink(), r"manifest\.jsonl is missing"),
    "config": (lambda run: (run / "config.yaml").write_text(""), r"config\.yaml holds no configuration"),
    "cut config": (
        lambda run: (run / "config.yaml").write_text((run / "config.yaml").read_text()[:-9]),
        r"config\.yaml (has another content than was written|cannot be read)",
    ),
    "no config": (lambda run: (run / "config.yaml").unlink(), r"config\.yaml is missing: .*start the same command"),
    "done": (lambda run: (run / "done.json").write_text("{}"), r"done\.json cannot be read: start the same command"),
    "partition": (
        lambda run: (run / "partition.parquet").unlink(),
        r"partition\.parquet is missing: .*the same command",
    ),
    "cut partition": (
        lambda run: (run / "partition.parquet").write_bytes(b"PAR1"),
        r"partition\.parquet cannot be read .*the same command",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_status_names_the_damaged_file_of_a_finished_run(run: Path, damage: str) -> None:
    assert [one.state for one in study_status(run.parent)] == ["done"]
    harm, told = DAMAGES[damage]
    harm(run)
    (one,) = study_status(run.parent)
    assert one.state == "failed" and re.search(told, one.detail), one.detail


def test_a_model_that_the_user_has_deleted_is_no_damage(run: Path) -> None:
    shutil.rmtree(run / "snapshots")
    assert study_status(run.parent)[0].state == "done"


@pytest.mark.parametrize("name", ["partition.parquet", "config.yaml"])
def test_the_same_command_writes_what_a_finished_run_has_lost(
    quick_run: Run, tables: Tables, finished: Path, run: Path, name: str
) -> None:
    (run / name).unlink()
    again(quick_run, run)
    assert tables(run) == tables(finished) and study_status(run.parent)[0].state == "done"
    if name == "partition.parquet":
        assert (run / name).read_bytes() == (finished / name).read_bytes()


def test_a_damaged_config_of_a_finished_run_is_told_by_the_run(quick_run: Run, run: Path) -> None:
    (run / "config.yaml").write_text("")
    with pytest.raises(UserError, match=sentence("config.yaml", "holds no configuration: .*delete it and start")):
        again(quick_run, run)


@pytest.mark.parametrize("harm", ["half", "empty", "binary", "list", "number", "object"])
def test_done_json(quick_run: Run, tables: Tables, finished: Path, run: Path, harm: str) -> None:
    (run / "done.json").write_bytes(HARMS_OF_DONE[harm])
    with pytest.raises(
        UserError, match=sentence("done.json", "cannot be read: start the same command again, which eval")
    ):
        _ = read(run).facts
    assert "done.json" in aggregate(run.parent).failed[run.name]
    assert "done.json" in study_status(run.parent)[0].detail
    if harm in ("half", "object"):
        assert tables(again(quick_run, run)) == tables(finished)
        assert run_facts(run)["status"] == "complete"


@pytest.mark.parametrize("harm", ["half", "empty", "binary"])
@pytest.mark.parametrize("name", ["server@2.json", "server@2.safetensors"])
def test_init_at_a_damaged_run(quick_run: Run, run: Path, tmp_path: Path, name: str, harm: str) -> None:
    (run / "state" / name).write_bytes(HARMS[harm])
    with pytest.raises(UserError, match=sentence(name, "; restore it from a copy, or name another run$")):
        quick_run(*WORDS, f"init={run}", folder=tmp_path / "new")
    assert not (tmp_path / "new").exists() or not any((tmp_path / "new").iterdir())


def test_init_at_what_is_no_run(quick_run: Run, run: Path, tmp_path: Path) -> None:
    for place in (run.parent, run / "run.json", run / "state"):
        with pytest.raises(UserError, match=r"init must be the folder of a run with at least one round, got"):
            quick_run(*WORDS, f"init={place}", folder=tmp_path / "new")


def test_a_checkpoint_of_a_version_without_digests_that_is_damaged(quick_run: Run, tmp_path: Path) -> None:
    with crash_at("_train", 2), pytest.raises(Crash):
        quick_run(*WORDS, folder=tmp_path)
    (run,) = (tmp_path / "main").glob("digits-*")
    (run / "manifest.jsonl").unlink()
    for path in (run / "state").glob("server@*.json"):
        path.write_text(json.dumps(dict(read_commit(path).scalars)))
    (run / "state" / "server@1.safetensors").write_bytes(b"half")
    with pytest.raises(UserError, match=r"server@1.safetensors is damaged .*delete .*server@1.json and start the same"):
        quick_run(*WORDS, folder=tmp_path)
    (run / "state" / "server@1.json").unlink()
    assert run_facts(quick_run(*WORDS, folder=tmp_path))["status"] == "complete"


@pytest.mark.parametrize("name", ["records", "state", "snapshots"])
def test_a_file_where_a_folder_should_be(quick_run: Run, run: Path, name: str) -> None:
    shutil.rmtree(run / name)
    (run / name).write_text("mine")
    (run / "done.json").unlink()
    with pytest.raises(UserError, match=rf"^(?=[^\n]*$).*{name}"):
        again(quick_run, run)
    assert (run / name).read_text() == "mine"
