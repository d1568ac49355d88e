"""What a report's page holds, read back from the page, against the tables; and its command line."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import fedlayers
from fedlayers.commands.report import main
from fedlayers.core.errors import UserError
from fedlayers.core.records import Pair, Record, Row, to_table
from fedlayers.execution.summary import summarise
from fedlayers.report.columns import constant, packed
from fedlayers.report.page import write_report
from fedlayers.report.room import MOST_CLIENTS, MOST_ROUNDS, room
from fedlayers.studies.aggregate import aggregate
from tests.support.fake_run import Fake, write_run
from tests.support.figure_tables import Measured, write_measured_run

ADDRESS: dict[str, Any] = {"moment": "after_local", "owner": "client", "model": "personal"}


class Page(HTMLParser):
    """The elements of a page, their attributes, the headings and the data."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: dict[str, str] = {}
        self.feed(file.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in ("meta", "input"):
            self.open.append(dict(attrs).get("id") or tag)

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data

    @property
    def runs(self) -> list[dict[str, Any]]:
        loaded: list[dict[str, Any]] = json.loads(self.texts["data"])
        return loaded


def unpacked(column: float | str | None, cells: int) -> np.ndarray:
    """Return a column's numbers."""
    if isinstance(column, str):
        kind, text = column.split(":", 1)
        return np.frombuffer(base64.b64decode(text), f"<{kind}").astype(float)
    return np.full(cells, np.nan if column is None else column)


def cells(run: dict[str, Any], matrix: dict[str, Any], name: str) -> dict[tuple[int, int, int], float]:
    """Return (round, place, other place) -> number of every cell, by the numbering that the page states."""
    m, rounds = len(run["clients"]), matrix["rounds"]
    each = m * (m + 1) // 2 if matrix["symmetric"] else m * m
    numbers = unpacked(matrix["columns"][name], each * len(rounds))
    assert len(numbers) == each * len(rounds)
    found = {}
    for (at, number), i, j in product(enumerate(rounds), range(m), range(m)):
        low, high = min(i, j), max(i, j)
        pair = high * (high + 1) // 2 + low if matrix["symmetric"] else i * m + j
        found[number, i, j] = float(numbers[at * each + pair])
    return found


def write_pairs(run: Path, rows: Sequence[Pair | Record]) -> Path:
    """Give a run these pairs instead of its own, and these records besides."""
    (run / "pairs").mkdir(exist_ok=True)
    for part in (run / "pairs").iterdir():
        part.unlink()
    pairs: list[Row] = [row for row in rows if isinstance(row, Pair)]
    records: list[Row] = [row for row in rows if not isinstance(row, Pair)]
    pq.write_table(to_table("pairs", pairs), run / "pairs" / "round=000001.parquet")
    pq.write_table(to_table("records", records), run / "records" / "round=000900.parquet")
    return run


def pair(client: int, other: int, value: float, number: int = 1, metric: str = "own_dst", **more: Any) -> Pair:
    return Pair(metric, value, client=client, other=other, round=number, subject="clients", **ADDRESS, **more)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_measured_run(tmp_path_factory.mktemp("results") / "main", Measured(clients=5, layers=4))


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page(write_report(run))


def test_every_cell_has_the_values_of_the_table(run: Path, page: Page) -> None:
    (shown,) = page.runs
    pairs = fedlayers.read(run).pairs
    pairs = pairs[pairs["subject"] == "clients"]
    assert shown["clients"] == [str(client) for client in range(5)]
    assert len(shown["matrices"]) == 3 * 4
    seen = 0
    for matrix in shown["matrices"]:
        assert matrix["symmetric"] and matrix["rounds"] == [1, 10] and matrix["variant"] == ""
        rows = pairs[(pairs["metric"] == matrix["metric"]) & (pairs["layer"] == matrix["layer"])]
        for name in ("value", "stderr", "n", "chance", "chance_hi", "p"):
            found = cells(shown, matrix, name)
            for row in rows.itertuples():
                expected = pytest.approx(getattr(row, name), rel=1e-6)
                assert found[row.round, row.client, row.other] == found[row.round, row.other, row.client] == expected
                seen += 1
    assert seen == 6 * len(pairs)
    by_metric = {matrix["metric"]: matrix for matrix in shown["matrices"]}
    assert (by_metric["cka"]["itself"], by_metric["cka_distance"]["itself"]) == (1, 0)
    assert by_metric["cka_distance"]["label"] == "CKA distance (rad)"
    assert by_metric["cka"]["measured"] == "debiased, pooled, after local training, personal models, on probe"


def test_a_missing_value_has_its_reason_and_is_no_number(tmp_path: Path) -> None:
    rows = [
        pair(0, 1, 0.5),
        missing_pair(0, 2, "the weights are not finite"),
        pair(1, 2, float("inf")),
        pair(0, 3, 0.25, number=4),
    ]
    (shown,) = Page(write_report(write_pairs(write_run(tmp_path), rows))).runs
    (matrix,) = shown["matrices"]
    value, reason = cells(shown, matrix, "value"), cells(shown, matrix, "reason")
    assert (matrix["layer"], matrix["itself"], matrix["symmetric"]) == ("whole model", None, True)
    assert {at: found for at, found in value.items() if np.isfinite(found)} == {
        (1, 0, 1): 0.5, (1, 1, 0): 0.5, (4, 0, 3): 0.25, (4, 3, 0): 0.25,
    }  # fmt: skip
    told = {at: matrix["reasons"][int(code) - 1] for at, code in reason.items() if code > 0 and at[1] < at[2]}
    assert told == {(1, 0, 2): "the weights are not finite", (1, 1, 2): "the value is inf"}
    assert np.isnan(reason[4, 1, 2])  # not in the table


def missing_pair(client: int, other: int, reason: str) -> Pair:
    return pair(client, other, float("nan"), status="missing", reason=reason)


def test_a_metric_with_a_direction_has_both_values(tmp_path: Path) -> None:
    rows = [pair(i, j, 10.0 * i + j, number) for number, i, j in product((1, 2), range(3), range(3)) if i != j]
    (shown,) = Page(write_report(write_pairs(write_run(tmp_path), rows))).runs
    (matrix,) = shown["matrices"]
    assert not matrix["symmetric"]
    value = cells(shown, matrix, "value")
    assert [value[2, 0, 1], value[2, 1, 0], value[1, 2, 1]] == [1.0, 10.0, 21.0]
    assert np.isnan(value[1, 2, 2])


def test_what_differs_within_a_metric_and_layer_names_the_variants(tmp_path: Path) -> None:
    rows = [
        pair(0, 1, 1.0, variant="mean", scope="probe"),
        pair(0, 1, 2.0, variant="sum", scope="probe"),
        pair(0, 1, 3.0, layer="conv1", layer_index=0),
    ]
    (shown,) = Page(write_report(write_pairs(write_run(tmp_path), rows))).runs
    found = [
        (one["layer"], one["variant"], one["measured"], cells(shown, one, "value")[1, 0, 1])
        for one in shown["matrices"]
    ]
    rest = "after local training, personal models"
    assert found == [
        ("whole model", "mean", f"mean, {rest}, on probe", 1.0),
        ("whole model", "sum", f"sum, {rest}, on probe", 2.0),
        ("conv1", "", rest, 3.0),
    ]


def test_clients_stand_by_cluster_or_planted_group(tmp_path: Path) -> None:
    rows: list[Pair | Record] = [pair(0, 2, 1.0), pair(0, 1, 1.0)]
    for number, label in product((1, 3), (0, 1)):
        client = {0: 2, 1: 0}[label] if number == 3 else label
        rows.append(
            Record("cluster", float(label), client=client, round=number, variant="l2_dst of updates", **ADDRESS)
        )
    run = write_pairs(write_run(tmp_path), rows)
    partition = pd.read_parquet(run / "partition.parquet")
    partition.assign(planted_group=partition["client"] % 2).to_parquet(run / "partition.parquet")
    (shown,) = Page(write_report(run)).runs
    assert shown["orders"] == [
        {"name": "number", "groups": []},
        {"name": "planted group", "groups": ["group 0", "group 1", "group 0"]},
        {"name": "cluster (l2_dst of updates), round 3", "groups": ["cluster 1", "no group", "cluster 0"]},
    ]
    assert ["planted groups", "2"] in shown["facts"]


def test_the_head_says_what_the_summary_says(run: Path, page: Page) -> None:
    facts = dict(page.runs[0]["facts"])
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
    facts = dict(Page(write_report(run)).runs[0]["facts"])
    assert "client test accuracy, round 3" in facts and facts["rounds"] == "3 of 3 (interrupted)"


def test_curves_are_means_and_bands_over_clients(run: Path, page: Page) -> None:
    records = fedlayers.read(run).records
    (shown,) = page.runs
    assert [chart["label"] for chart in shown["charts"]] == ["accuracy", "loss (nat)"]
    local, aggregated, server = shown["charts"][0]["lines"]
    assert (local["x"], aggregated["x"], server["style"]) == ([1, 2], [0, 1, 2], "dotted")
    accuracy = records[(records["metric"] == "accuracy") & (records["scope"] == "client_test")]
    for at, moment in enumerate(("start", "after_aggregate", "after_aggregate")):
        values = accuracy[(accuracy["round"] == at) & (accuracy["moment"] == moment)]["value"].to_numpy()
        expected = (values.mean(), values.min(), values.max())
        assert tuple(aggregated[name][at] for name in ("mean", "low", "high")) == pytest.approx(expected)
    assert aggregated["band"] == "bands: lowest to highest of clients"


def test_profiles_are_means_over_clients_layer_by_layer(run: Path, page: Page) -> None:
    records = fedlayers.read(run).records
    profile = next(one for one in page.runs[0]["profiles"] if one["metric"] == "gradient_variance_parameters")
    rows = records[records["metric"] == "gradient_variance_parameters"]
    assert profile["rounds"] == [1, 10] and profile["decades"] is True
    for number, lines in zip(profile["rounds"], profile["lines"], strict=True):
        (line,) = lines
        for place, mean in zip(line["x"], line["mean"], strict=True):
            here = rows[(rows["round"] == number) & (rows["layer"] == profile["layers"][place])]
            assert mean == pytest.approx(here["value"].mean())
    server = next(one for one in page.runs[0]["profiles"] if one["metric"] == "b_dissimilarity")
    assert {line["style"] for lines in server["lines"] for line in lines} == {"dotted"}


def test_the_page_is_whole_and_needs_no_network(run: Path, page: Page) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    assert page.open == [] and "{{" not in text.replace(page.texts["data"], "")
    assert {name for name, _ in page.attributes} & {"src", "href"} == set()
    assert re.findall(r"https?://[^\"' ]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest", text)
    assert page.texts["h1"] == page.texts["title"] == run.name
    before = (run / "report.html").read_bytes()
    assert write_report(run).read_bytes() == before  # equal tables, equal files


def test_names_do_not_break_out_of_the_data(tmp_path: Path) -> None:
    names = ["</script><b>", "<!--", "{{SCRIPT}}"]
    run = write_run(tmp_path, Fake(overrides=(("client_names", names),)))
    (shown,) = Page(write_report(write_pairs(run, [pair(0, 1, 1.0), pair(0, 2, 1.0)]))).runs
    assert shown["clients"] == names


def test_of_many_rounds_and_clients_some_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    rows = [pair(0, other, float(other)) for other in range(1, 260)] + [pair(0, 1, 0.5, n) for n in range(2, 70)]
    (shown,) = Page(write_report(write_pairs(write_run(tmp_path), rows))).runs
    (matrix,) = shown["matrices"]
    assert shown["notes"] == [
        "Matrices show 200 of 260 clients, spaced evenly.",
        "Matrices of more than 50 rounds show 50, spaced evenly.",
    ]
    assert (len(shown["clients"]), shown["clients"][0], shown["clients"][-1]) == (200, "0", "259")
    assert (len(matrix["rounds"]), matrix["rounds"][0], matrix["rounds"][-1]) == (50, 1, 69)
    value = unpacked(matrix["columns"]["value"], 0)
    assert len(value) == 50 * 200 * 201 // 2
    assert [value[place * (place + 1) // 2] for place in (100, 199)] == [float(shown["clients"][100]), 259.0]


def test_room_leaves_out_rounds_before_clients() -> None:
    assert room([(3, 2)], 10) == (MOST_ROUNDS, 10)
    assert room([], 0) == (MOST_ROUNDS, 0)
    assert room([(100, 1)], 1000, 10**9) == (MOST_ROUNDS, MOST_CLIENTS)
    rounds, clients = room([(40, 2), (10, 1)], 20, 20_000)
    assert clients == 20 and 2 < rounds < 40
    assert (2 * rounds + min(rounds, 10)) * 20**2 <= 20_000 < (2 * (rounds + 1) + 10) * 20**2
    rounds, clients = room([(40, 1)] * 30, 200, 20_000)
    assert rounds == 2 and 30 * 2 * clients**2 <= 20_000 < 30 * 2 * (clients + 1) ** 2


def test_columns_keep_six_digits_of_every_number() -> None:
    for values, kind in (([0.1, np.nan, -3e7], "f4"), ([1e-60, 0.5], "f8"), ([1e300, 1.0], "f8"), ([0.0, 1.0], "f4")):
        column = packed(np.array(values))
        assert isinstance(column, str) and column.startswith(kind)
        assert unpacked(column, 2) == pytest.approx(np.array(values), rel=1e-6, abs=0, nan_ok=True)
    assert packed(np.full(3, np.nan)) is None
    assert constant(np.array([2.0, 2.0])) == 2.0
    assert [constant(np.array(values)) for values in ([], [1.0, 2.0], [1.0, np.nan])] == [None] * 3


def test_a_study_has_all_its_runs(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path, Fake(rounds=2), seed=seed)
    page = Page(write_report(tmp_path))
    assert page.texts["h1"] == f"study {tmp_path.name}: 2 runs"
    assert [dict(run["facts"])["seed"] for run in page.runs] == ["0", "1"]
    (tmp_path / "waiting").mkdir()
    (tmp_path / "waiting" / "run.json").write_text("{}", encoding="utf-8")
    page = Page(write_report(tmp_path))
    assert page.texts["h1"].endswith(": 2 of 3 runs (of the others nothing can be shown)")
    assert len(page.runs) == 2


def test_the_command_line_writes_the_file_and_says_where(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'report.html'}\n"
    assert main([str(run), "--out", str(tmp_path / "paper.html")]) == 0
    assert (tmp_path / "paper.html").read_bytes() == (run / "report.html").read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["paper.html"]


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
