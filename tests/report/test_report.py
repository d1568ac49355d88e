"""What a report's page holds, read back from the page, against the service; and its command line."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from fedlayers.charts import participation
from fedlayers.charts.charted import FACTS, Charted
from fedlayers.charts.packed import numbers, packed
from fedlayers.commands.report import main
from fedlayers.core.errors import UserError
from fedlayers.core.machine import processes
from fedlayers.execution.summary import summarise
from fedlayers.explore.app import application
from fedlayers.explore.place import Place
from fedlayers.report.kept import answers_of
from fedlayers.report.page import write_report
from fedlayers.report.room import MOST_ANSWERS, MOST_VALUES, Room, at_end_of_run, shares
from fedlayers.runs.damage import DamagedRunWarning
from fedlayers.runs.reading.tables import read
from fedlayers.studies.aggregate import aggregate
from tests.support.fake_run import Fake, write_run
from tests.support.figure_tables import Measured, write_measured_run
from tests.support.saved_pages import SavedPage, unpacked

# Where a test asks what else a page holds: each answer is pandas' work for a run and a question.
FEW = 4


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_measured_run(tmp_path_factory.mktemp("results") / "main", Measured(clients=5, layers=4))


@pytest.fixture(scope="module")
def page(run: Path) -> SavedPage:
    return SavedPage(write_report(run))


def asked(client: TestClient, key: str) -> Any:
    """Return what the service answers to a question of a page: a table, or a value."""
    path, _, words = key.partition("?")
    answer = client.get(f"/api/{path}", params=parse_qs(words))
    assert answer.status_code == 200, answer.text
    if answer.headers["content-type"] == "application/json":
        return answer.json()
    return pa.ipc.open_stream(answer.content).read_all()


def same(column: list[Any], told: pa.ChunkedArray) -> bool:
    """Say whether values of a page are those of the service: numbers to six digits, all else exactly."""
    if not pa.types.is_floating(told.type):
        return bool(column == told.to_pylist())
    are_missing = [one is None for one in column] == told.is_null().to_pylist()
    return are_missing and np.allclose(np.array(column, float), told.to_numpy(), rtol=1e-6, atol=1e-12, equal_nan=True)


def test_every_answer_is_the_services(run: Path, page: SavedPage) -> None:
    answers = page.answers
    assert len(answers) > 20
    with TestClient(application(Place.at(run)), base_url="http://127.0.0.1:8000") as client:
        for key, answer in answers.items():
            if key.endswith("/saved?"):  # rows are chosen in the page, see test_report_browser.py
                continue
            told = asked(client, key)
            if "json" in answer:
                lines = zip(told, answer["json"], strict=True) if isinstance(told, list) else [(told, answer["json"])]
                assert all(mine.items() <= theirs.items() for theirs, mine in lines), key
                continue
            assert json.loads(told.schema.metadata[FACTS]) == answer["facts"], key
            for name, column in unpacked(answer).items():
                assert same(column, told.column(name)), (key, name)


def test_what_views_show_at_first_is_there(page: SavedPage, run: Path) -> None:
    paths = {key.partition("?")[0].removeprefix(f"runs/{run.name}/charts/") for key in page.answers}
    assert {
        "runs", "charts/scores", "measured", "curves", "participation", "resources", "layers", "layers/heat_map",
        "layers/profile", "clients", "clients/matrix", "clients/merging", "clients/map", "clients/flows",
        "clients/partition", "training/classes", "training/tiers", "training/flow", "training/resources",
    } <= paths  # fmt: skip


def test_the_head_says_what_the_summary_says(run: Path, page: SavedPage) -> None:
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page.text))
    assert list(facts.items())[:7] == [
        ("data set", "FMNIST"), ("partition", "dirichlet"), ("model", "cnn"), ("algorithm", "fedavg"),
        ("clients", "5"), ("seed", "0"), ("rounds", "2 of 2 (complete)"),
    ]  # fmt: skip
    summary = summarise(run)
    ends = {
        line: re.search(rf"^{line} .*?(\S+(?: ± \S+)?)$", summary, re.MULTILINE)
        for line in ("  after aggregation", "server test accuracy")
    }
    clients, server = (found[1] if found else "" for found in ends.values())
    assert facts["client test accuracy, final"] == f"{clients} (sd over 5 clients)"
    assert facts["server test accuracy, final"] == server != ""


def test_before_the_end_the_head_has_the_last_round(tmp_path: Path) -> None:
    run = write_run(tmp_path, Fake(rounds=3), status="running", reason=None)
    (run / "records" / "final.parquet").unlink()
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", write_report(run, answers=FEW).read_text()))
    assert "client test accuracy, round 3" in facts and facts["rounds"] == "3 of 3 (interrupted)"


def test_the_page_is_whole_and_needs_no_network(run: Path, page: SavedPage) -> None:
    assert page.open == [] and "<!-- head -->" not in page.text and "<!-- scripts -->" not in page.text
    addresses = [value for name, value in page.attributes if name in ("src", "href")]
    assert all(str(address).startswith(("#", "data:")) for address in addresses)
    assert set(re.findall(r"https?://[^\"' ]*", page.text)) == {"http://www.w3.org/2000/svg"}
    assert page.texts["title"] == page.texts["place"] == run.name
    before = (run / "report.html").read_bytes()
    assert write_report(run).read_bytes() == before  # equal tables, equal files


def test_names_do_not_break_out_of_the_page(tmp_path: Path) -> None:
    names = ["</script><b>", "<!--", "<!-- scripts -->"]
    run = write_run(tmp_path / "<b>study", Fake(overrides=(("client_names", names),)))
    page = SavedPage(write_report(run.parent, answers=FEW))
    (facts,) = [answer["json"]["facts"] for key, answer in page.answers.items() if key == f"runs/{run.name}?"]
    assert facts["client_names"] == names and "<b>" not in page.text
    assert page.texts["title"] == "study <b>study: 1 run"


@pytest.mark.slow
def test_a_page_of_twenty_clients_ten_layers_and_ten_rounds_is_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.figure_tables.ROUNDS", tuple(range(1, 11)))
    file = write_report(write_measured_run(tmp_path, Measured(clients=20, layers=10)))
    assert file.stat().st_size < 2_000_000


def test_there_is_an_end_to_answers_and_values(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = read(run)
    every, first = (answers_of(tables, Room(most, MOST_VALUES)) for most in (30, 7))
    assert (len(every), len(first)) == (31, 8)  # with the run itself
    few = answers_of(tables, Room(30, 300))
    assert sum(answer.get("length", 0) * len(answer.get("columns", ())) for answer in few.values()) <= 300
    # The first ones are those that the page shows first.
    keys = list(every)
    assert [key.rpartition("/")[2] for key in keys[1:4]] == [
        "measured?",
        "curves?metric=accuracy",
        "curves?metric=loss",
    ]
    assert keys[:8] == list(first)


def test_runs_of_a_study_share_the_room() -> None:
    alone, many = list(shares(1)), list(shares(1000))
    assert (alone[0].answers, alone[0].values) == (MOST_ANSWERS, MOST_VALUES)
    assert [one.answers for one in shares(1, at_end_of_run(59.9))] == [28]
    assert [at_end_of_run(wall_s) for wall_s in (0.0, 61.0, 600.0, 1e6)] == [28, 58, 328, MOST_ANSWERS]
    assert len(many) == 1000 and 0 < many[0].answers < 10 and sum(one.values for one in many) <= MOST_VALUES
    room = Room(2, 10)
    assert [room.take(size) for size in (11, 6, 6, 4, 0)] == [False, True, False, True, False]


def test_what_cannot_be_answered_is_left_out(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(tables: object) -> Charted:
        raise UserError("there is none")

    monkeypatch.setattr(participation, "participation", refuse)
    found = answers_of(read(run), Room(10, MOST_VALUES))
    assert len(found) == 11 and not any("participation" in key for key in found)


def test_columns_keep_six_digits_of_every_number() -> None:
    for values, kind in (([0.1, np.nan, -3e7], "f4"), ([1e-60, 0.5], "f8"), ([1e300, 1.0], "f8"), ([0.0, 1.0], "f4")):
        column = numbers(np.array(values))
        assert [*column] == [kind]
        read_back = unpacked({"columns": {"x": column}, "length": len(values)})["x"]
        assert read_back == pytest.approx(values, rel=1e-6, abs=0, nan_ok=True)
    assert numbers(np.full(3, np.nan)) == {"all": None}
    assert numbers(np.array([2.0, 2.0])) == {"all": 2.0} and "f4" in numbers(np.array([1.0, np.nan]))
    shown = Charted({"who": ["a", None, "a"], "is": np.array([True, False, True]), "k": np.array([1, 2, 3])}, {"x": 1})
    assert unpacked(packed(shown)) == {"who": ["a", None, "a"], "is": [True, False, True], "k": [1, 2, 3]}
    assert packed(shown)["facts"] == {"x": 1} and packed(shown)["length"] == 3


def test_a_study_has_all_its_runs(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path, Fake(rounds=2), seed=seed)
    page = SavedPage(write_report(tmp_path, answers=FEW))
    assert page.texts["place"] == f"study {tmp_path.name}: 2 runs"
    assert [page.answers[f"runs/{run}?"]["json"]["facts"]["seed"] for run in page.runs] == [0, 1]
    assert len(page.answers["charts/scores?run=" + "&run=".join(page.runs)]["facts"]["runs"]) == 2
    (tmp_path / "waiting").mkdir()
    (tmp_path / "waiting" / "run.json").write_text("{}", encoding="utf-8")
    page = SavedPage(write_report(tmp_path, answers=FEW))
    assert page.texts["place"].endswith(": 2 of 3 runs (of the others nothing can be shown)")
    assert len(page.runs) == 2


def test_a_large_study_is_read_by_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        write_run(tmp_path, Fake(rounds=2), seed=seed)
    damaged = next(iter(sorted(tmp_path.glob("*/records/round*.parquet"))))
    damaged.write_bytes(b"")
    pages = []
    for cpus in (1, 2):
        monkeypatch.setattr(processes, "available_cpus", partial(int, cpus))
        monkeypatch.setattr(processes, "LEAST_EACH", 1)
        with pytest.warns(DamagedRunWarning, match=f"{damaged.parents[1].name} is left out: .*0 bytes"):
            pages.append(write_report(tmp_path, answers=FEW).read_bytes())
    assert pages[0] == pages[1] and len(SavedPage(tmp_path / "report.html").runs) == 2


def test_algorithms_of_a_study_are_compared(tmp_path: Path) -> None:
    for algorithm in ("fedavg", "fedprox"):
        for seed in (0, 1):
            write_run(tmp_path, Fake(rounds=2, algorithm=algorithm), seed=seed)
    answers = SavedPage(write_report(tmp_path, answers=FEW)).answers
    with TestClient(application(Place.at(tmp_path)), base_url="http://127.0.0.1:8000") as client:
        for part in ("settings", "ranks"):
            key = f"charts/comparison/{part}?"
            assert json.loads(asked(client, key).schema.metadata[FACTS]) == answers[key]["facts"]


def test_the_command_line_writes_the_file_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, papers = write_run(tmp_path / "study"), tmp_path / "papers"
    papers.mkdir()
    assert main([str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'report.html'}\n"
    assert main([str(run), "--out", str(papers / "paper.html")]) == 0
    assert (papers / "paper.html").read_bytes() == (run / "report.html").read_bytes()
    assert [file.name for file in papers.iterdir()] == ["paper.html"]


def mistakes(tmp_path: Path) -> Iterator[tuple[list[Path | str], str]]:
    write_run(tmp_path / "study")
    aggregate(tmp_path / "study")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "run.json").write_text("{}", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    yield [tmp_path / "nothing"], f"there is nothing at {tmp_path / 'nothing'}: give a run folder, a study folder"
    yield [tmp_path / "empty"], "is neither a run folder (no run.json in it) nor a study folder"
    yield [tmp_path / "new"], f"{tmp_path / 'new'} holds nothing that could be shown yet: wait for its first round"
    table = tmp_path / "study" / "study.parquet"
    yield [table], f"{table} is one table: give the study folder, {tmp_path / 'study'}"
    for out in (tmp_path, tmp_path / "absent" / "report.html"):
        yield [tmp_path / "study", "--out", out], f"--out must be a file in a folder that is there, got {out}: give "


def test_mistakes_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, sentence in mistakes(tmp_path):
        assert main([str(word) for word in words]) == 1
        out, error = capsys.readouterr()
        assert out == "" and error.count("\n") == 1 and sentence in error
    with pytest.raises(UserError, match="holds nothing that could be shown yet"):
        write_report(tmp_path / "new")


def test_help_teaches_by_example() -> None:
    command = [sys.executable, "-m", "fedlayers.report"]
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
    assert "python -m fedlayers.report results/main/<run> --out paper.html" in shown
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2
