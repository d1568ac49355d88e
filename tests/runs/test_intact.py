"""Damage to a run's files: noticed on continuing, reading and aggregating; the round before is offered, and works."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fedlayers.core.errors import UserError
from fedlayers.runs.client_state import StateStore
from fedlayers.runs.folder import RunFolder
from fedlayers.runs.integrity import check_intact
from fedlayers.runs.reading.tables import read
from fedlayers.studies.aggregate import aggregate
from tests.execution.test_resume import Crash, crash_at

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]

# Clients with states, models and arrays that are kept: everything a round may consist of.
WORDS = [
    *("engine=local", "clients=2", "rounds=4", "algorithm=local", "snapshots.rounds=[all]", "snapshots.clients=true"),
    *("similarity=[cka]", "metrics=[evaluation,similarity]", "metrics.similarity.rounds=[all]", "probe.size=20"),
]
ARRAYS = "arrays/round=00000{}-after_local.safetensors"
NEWEST = ["state/0@3", "state/server@3.json", "state/server@3.safetensors", ARRAYS.format(3)]
NEWEST += [f"{table}/round=000003.parquet" for table in ("records", "pairs", "spectra", "resources")]
OLDER = ["records/round=000001.parquet", "pairs/round=000002.parquet", ARRAYS.format(1), "records/round=000000.parquet"]
MODEL = "snapshots/client1@2.safetensors"


@pytest.fixture(scope="module")
def finished(quick_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quick_run(*WORDS, folder=tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def killed(quick_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four rounds that was killed in the last one."""
    place = tmp_path_factory.mktemp("killed")
    with crash_at("commit", 4), pytest.raises(Crash):
        quick_run(*WORDS, folder=place)
    return next((place / "main").glob("digits-*"))


@pytest.fixture
def stopped(killed: Path, tmp_path: Path) -> Path:
    return copied(killed, tmp_path)


def copied(run: Path, place: Path) -> Path:
    return Path(shutil.copytree(run, place / "main" / run.name))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def fill(path: Path) -> None:
    path.write_bytes(b"\xff\0{")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


HARMS = [flip, cut, fill, Path.unlink, replace_by_folder]


def again(quick_run: Run, run: Path, *words: str) -> Path:
    return quick_run(*WORDS, *words, folder=run.parent.parent)


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", NEWEST)
def test_where_the_newest_state_is_damaged_the_round_before_is_offered(
    stopped: Path, name: str, harm: Callable[[Path], None]
) -> None:
    harm(stopped / name)
    folder = RunFolder(stopped)
    if name == "state/server@3.json" and not (stopped / name).is_file():
        assert folder.last_round() == 2  # what is offered
        return
    sentence = (
        rf"^{re.escape(str(stopped / name))} (has|is|cannot be read).*so the run is not continued: .*delete (\S+) "
    )
    with pytest.raises(UserError, match=sentence) as caught:
        check_intact(stopped, 3)
    assert "\n" not in str(caught.value)
    found = re.search(sentence, str(caught.value))
    assert found is not None
    Path(found[2]).unlink()
    assert folder.last_round() == 2
    assert check_intact(stopped, 2) == []


@pytest.mark.parametrize("name", ["state/0@3", "records/round=000003.parquet"])
def test_what_is_offered_gives_the_same_numbers(
    quick_run: Run, tables: Tables, finished: Path, stopped: Path, name: str
) -> None:
    (stopped / name).unlink()  # not: the client's state of the round before, or a table without a round
    with pytest.raises(UserError, match=rf"{name} is missing, so .* delete .*/state/server@3.json and start the same"):
        again(quick_run, stopped)
    (stopped / "state" / "server@3.json").unlink()
    assert tables(again(quick_run, stopped)) == tables(finished)


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", OLDER)
def test_what_is_older_has_to_be_restored(stopped: Path, name: str, harm: Callable[[Path], None]) -> None:
    harm(stopped / name)
    sentence = rf"{name} (has|is) .*, so .*: restore it from a copy, or start the run anew with force=true$"
    with pytest.raises(UserError, match=sentence):
        check_intact(stopped, 3)


def test_nothing_is_computed_from_a_model_that_was_kept(stopped: Path) -> None:
    flip(stopped / MODEL)
    with pytest.raises(UserError, match=f"{MODEL} has another content.* or delete it and start the same command again"):
        check_intact(stopped, 3)
    (stopped / MODEL).unlink()
    assert check_intact(stopped, 3) == [f"{stopped / MODEL} is gone; the run goes on without"]


def test_many_models_are_looked_for_and_not_read(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedlayers.runs.integrity.MODELS_READ_BYTES", 10)
    flip(stopped / MODEL)
    assert check_intact(stopped, 3) == [f"{stopped / 'snapshots'} is large: its files were looked for and not read"]
    cut(stopped / MODEL)
    with pytest.raises(UserError, match=f"{MODEL} has .* bytes instead of"):
        check_intact(stopped, 3)


@pytest.mark.parametrize("harm", [flip, cut, fill, Path.unlink])
def test_the_manifest_itself_is_checked(stopped: Path, harm: Callable[[Path], None]) -> None:
    manifest = stopped / "manifest.jsonl"
    data = manifest.read_bytes()
    assert data.count(b'"round"') == 4
    manifest.write_bytes(data + b'{"round": 4, "files": {"records/rou')  # of the round that was cut short
    assert check_intact(stopped, 3) == []
    manifest.write_bytes(data)
    harm(manifest)
    with pytest.raises(UserError, match=r"manifest.jsonl (is missing|has .*), so the run is not continued: restore"):
        check_intact(stopped, 3)


def test_rounds_without_any_checkpoint_are_not_started_over(quick_run: Run, stopped: Path) -> None:
    shutil.rmtree(stopped / "state")
    with pytest.raises(UserError, match=r"state holds no checkpoint .*records reach round 4: restore it .*force=true"):
        again(quick_run, stopped)
    assert (stopped / "records" / "round=000003.parquet").is_file()


def test_a_run_of_a_version_without_a_manifest_goes_on(
    quick_run: Run, tables: Tables, finished: Path, stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (stopped / "manifest.jsonl").unlink()
    for path in (stopped / "state").glob("server@*.json"):
        path.write_text(json.dumps(json.loads(path.read_text())["checkpoint"]))
    with crash_at("_train", 4), pytest.raises(Crash):
        again(quick_run, stopped)
    assert (stopped / "manifest.jsonl").is_file() and len(read(stopped).records) > 0
    assert tables(again(quick_run, stopped)) == tables(finished)
    assert "rounds 0 to 3 are of a version that kept no digests" in capsys.readouterr().out
    assert len(read(stopped).records) == len(read(finished).records)
    assert check_intact(stopped, 4) == []
    (stopped / "state" / "0@4").unlink()
    with pytest.raises(UserError, match="0@4 is missing"):
        check_intact(stopped, 4)


@pytest.mark.parametrize("table", ["records", "pairs", "spectra", "resources"])
def test_reading_notices_damaged_and_missing_parts(finished: Path, tmp_path: Path, table: str) -> None:
    harms: list[tuple[Callable[[Path], None], str]] = [
        (Path.unlink, "round=000002"),
        (flip, "round=000003"),
        (flip, "final"),
    ]
    for place, (harm, name) in enumerate(harms):
        run = copied(finished, tmp_path / str(place))
        path = run / table / f"{name}.parquet"
        if not path.exists():
            continue
        harm(path)
        with pytest.raises(UserError, match=rf"{name}.parquet (is missing|has another .*): restore it .*force=true"):
            _ = getattr(read(run), table)
        others = {"records", "pairs", "spectra", "resources"} - {table}
        assert all(len(getattr(read(run), other)) for other in others)


def test_a_manifest_that_ends_too_early_is_noticed_when_reading(finished: Path, tmp_path: Path) -> None:
    run = copied(finished, tmp_path)
    data = (run / "manifest.jsonl").read_bytes()
    (run / "manifest.jsonl").write_bytes(data[: data.rindex(b'{"round"')])
    with pytest.raises(UserError, match=r"manifest.jsonl is damaged \(it ends before round 4\): restore it"):
        _ = read(run).records
    (run / "manifest.jsonl").write_bytes(b"")
    with pytest.raises(UserError, match=r"manifest.jsonl is damaged \(its first line cannot be read\): restore it"):
        _ = read(run).records
    (run / "manifest.jsonl").unlink()
    with pytest.raises(UserError, match=r"manifest.jsonl is missing: restore it"):
        _ = read(run).records


def test_a_damaged_run_is_named_by_aggregate_and_the_others_are_in_the_table(finished: Path, tmp_path: Path) -> None:
    runs = [copied(finished, tmp_path / "results"), tmp_path / "results" / "main" / "other"]
    shutil.copytree(finished, runs[1])
    (runs[0] / "pairs" / "round=000002.parquet").unlink()
    report = aggregate(runs[0].parent)
    assert report.complete == ("other",)
    assert "round=000002.parquet is missing" in report.failed[runs[0].name]


def test_a_finished_run_started_again_notices_missing_parts(quick_run: Run, finished: Path, tmp_path: Path) -> None:
    run = copied(finished, tmp_path)
    (run / "records" / "round=000002.parquet").unlink()
    with pytest.raises(UserError, match=r"records/round=000002.parquet is missing: restore it"):
        again(quick_run, run)


def test_files_of_others_are_left_alone_and_never_read(
    quick_run: Run, tables: Tables, finished: Path, stopped: Path
) -> None:
    own = [path for path in stopped.rglob("*") if path.is_file()]
    strange = [
        *("records/round=000001 (copy).parquet", "records/notes.txt", "records/.notes", "pairs/round=1.parquet"),
        *("state/notes.txt", "state/3@x", "state/server@2 (copy).json", "state/0@2.bak", "state/.a@b"),
        *("snapshots/notes@home.txt", "snapshots/server@final.safetensors", "arrays/notes.txt", "arrays/.swap"),
    ]
    for name in strange:
        (stopped / name).write_text("mine")
    folders = ["records/mine", "state/9@9", "state/server@9.json", "snapshots/old", "arrays/old"]
    for name in folders:
        (stopped / name).mkdir()
    (stopped / "records" / "round=000001 (copy).parquet").write_bytes((stopped / NEWEST[4]).read_bytes())
    before = {path: path.read_bytes() for path in own if path.suffix == ".parquet" and "round=000004" not in path.name}
    rows = len(read(stopped).records)
    run = again(quick_run, stopped)
    assert {name: data for name, data in tables(run).items() if "copy" not in name and name != strange[3]} == tables(
        finished
    )
    assert all((run / name).is_file() for name in strange) and all((run / name).is_dir() for name in folders)
    assert all(path.read_bytes() == data for path, data in before.items())
    assert len(read(run).records) == len(read(finished).records) > rows


def test_a_state_that_a_worker_cannot_read_is_named(stopped: Path) -> None:
    RunFolder(stopped).rewind(3)
    store = StateStore(stopped / "state")
    assert len(store.load(0, 4, proposed=False)) == 1
    cut(stopped / "state" / "0@3")
    with pytest.raises(UserError, match=r"state/0@3 is damaged \(.*\): start the same command again"):
        store.load(0, 4, proposed=False)
