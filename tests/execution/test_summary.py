import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from fedlayers.core.errors import UserError
from fedlayers.core.machine.terminal import show
from fedlayers.core.records import Record, addressed, missing, to_table
from fedlayers.execution.summary import _missing, summarise, summary
from fedlayers.report.head import scores
from fedlayers.runs.reading.tables import read
from tests.support.fake_run import Fake, accuracy, write_run
from tests.support.terminals import terminal


def row(text: str, label: str) -> list[str]:
    """Return the cells of the line that starts with the label."""
    line = next(line for line in text.splitlines() if line.strip().startswith(label))
    return line.split("  ")[1:] if not line.startswith(" ") else line.strip().split("  ")[1:]


def cells(text: str, label: str) -> list[str]:
    return [cell.strip() for cell in row(text, label) if cell.strip()]


def test_scores_are_means_and_deviations_over_clients(tmp_path: Path) -> None:
    fake = Fake(clients=5, rounds=6)
    text = summarise(write_run(tmp_path, fake))
    for label, moment in (("after local training", "after_local"), ("after aggregation", "after_aggregate")):
        shown = cells(text, label)
        for place, server_round in enumerate((1, 5, 6)):
            values = [accuracy(fake, client, server_round, moment) for client in range(5)]
            assert shown[place] == f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
    values = [accuracy(fake, client, 6, "after_aggregate") for client in range(5)]
    assert cells(text, "worst client")[2] == f"{min(values):.3f} (no. {int(np.argmin(values))})"
    assert cells(text, "server test accuracy")[2] == f"{accuracy(fake, 0, 6, 'after_aggregate') - 0.03:.3f}"
    losses = [-np.log(value) for value in values]
    assert (
        cells(text.split("client test loss")[1], "after aggregation")[2]
        == f"{np.mean(losses):.3f} ± {np.std(losses, ddof=1):.3f}"
    )


def test_columns_are_first_best_last_and_final(tmp_path: Path) -> None:
    head = summarise(write_run(tmp_path, rounds=6)).splitlines()[2].split("  ")
    assert [part.strip() for part in head if part.strip()] == [
        "mean ± sd over clients",
        "first: round 1",
        "best: round 5",
        "last: round 6",
        "final",
    ]
    head = summarise(write_run(tmp_path, rounds=1, seed=1)).splitlines()[2].split("  ")
    assert [part.strip() for part in head if part.strip()] == [
        "mean ± sd over clients",
        "first: round 1",
        "best: round 1",
        "last: round 1",
        "final",
    ]


def test_reasons_beyond_the_most_frequent_are_counted() -> None:
    records = pd.DataFrame({"status": ["missing"] * 9 + ["ok"], "reason": [*"aaabbccde", None]})
    assert (
        _missing(records)[1].strip() == "3 × a" and _missing(records)[-1].strip() == "and 2 other reasons of 2 records"
    )
    assert len(_missing(records[records["reason"].isin(["a", "b", "c"])])) == 4


def test_size_and_shape(tmp_path: Path) -> None:
    run = write_run(tmp_path, clients=12, rounds=30)
    lines = summarise(run).splitlines()
    assert len(lines) <= 25
    assert all(len(line) <= 100 for line in lines if str(tmp_path) not in line)
    assert "\x1b" not in "".join(lines)
    assert lines[0] == "FMNIST · dirichlet · cnn · fedavg · 12 clients · seed 0 · complete, 30 of 30 rounds"


def test_narrow_terminals_break_labels_and_no_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path, clients=12)
    whole = summarise(run)
    numbers = [text for text in whole.split() if text[0].isdigit()]
    for width in (120, 80, 40):
        shown = terminal(monkeypatch, width)
        show(summary(run))
        lines = shown.lines()
        assert [text for text in " ".join(lines).split() if text[0].isdigit()] == numbers
        table = lines[2 : lines.index("best round by accuracy")]
        assert all(len(text) <= max(width, 82) for text in table) and "…" not in "".join(table)
        assert f'fedlayers.read("{run}").records' in "\n".join(lines)
        assert (lines == whole.splitlines()) == (width == 120)


def test_time_missing_records_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path, rounds=4)
    text = summarise(run)
    # 3 clients train 4 rounds of 2 s, and measure 0.5 s in 5
    assert "wall time 1 min 23 s; of all work, training 24.0 s, measuring 7.5 s (24%; most: evaluation)" in text
    assert "4 of them missing:\n  4 × the update is zero" in text
    assert f'fedlayers.read("{run}").records' in text
    monkeypatch.chdir(tmp_path)
    assert f'fedlayers.read("{run.name}").records' in summarise(run)


def test_reasons_are_counted_and_cut_to_one_line(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    rows = [missing("drift", "first line " + "x" * 200 + "\nsecond line")] * 3
    rows += [missing("drift", f"reason {i}") for i in range(4)]
    where = {"run": run.name, "round": 4, "moment": "after_local", "owner": "client", "model": "global", "client": 0}
    pq.write_table(to_table("records", addressed(rows, **where)), run / "records" / "round=000005.parquet")
    lines = summarise(run).splitlines()
    found = [line for line in lines if " × " in line]
    assert [line.split()[0] for line in found] == ["4", "3", "1"]
    assert all(len(line) <= 100 for line in found)
    assert "second line" not in "".join(lines)


def test_what_is_not_there_is_a_dash_or_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path, rounds=3)
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(
        json.dumps(facts | {"best": None, "wall_s": None, "status": "stopped"}), encoding="utf-8"
    )
    (run / "done.json").unlink()
    for part in (run / "resources").iterdir():
        part.unlink()
    (run / "records" / "final.parquet").unlink()
    for part in (run / "records").iterdir():
        table = pq.read_table(part, partitioning=None)
        keep = pc.not_equal(table["scope"].cast(pa.string()), "server_test")
        pq.write_table(table.filter(pc.fill_null(keep, True)), part)
    text = summarise(run)
    assert "stopped, 3 of 3 rounds" in text
    assert "best" not in text
    assert "final" not in text
    assert "wall time" not in text
    assert cells(text, "server test accuracy") == ["–", "–"]


def test_personal_and_global_models_have_lines_of_their_own(tmp_path: Path) -> None:
    run = write_run(tmp_path, rounds=2)
    rows = [Record("accuracy", 0.25 * client, scope="client_test", client=client) for client in range(3)]
    where = {"run": run.name, "round": 2, "moment": "after_aggregate", "owner": "client", "model": "personal"}
    table = to_table("records", addressed(rows, **where))
    before = pq.read_table(run / "records" / "round=000002.parquet", partitioning=None)
    both = pa.concat_tables([before, table]).unify_dictionaries()
    pq.write_table(both, run / "records" / "round=000002.parquet")
    text = summarise(run)
    assert "0.250 ± 0.250" in cells(text, "after aggregation, personal")
    assert cells(text, "after aggregation, global")


def test_a_round_in_which_only_personal_models_are_evaluated_tells_of_those(tmp_path: Path) -> None:
    """As under a plan that shares fewer layers from some round on: "worst client" is not a dash in it."""
    run = write_run(tmp_path, rounds=3)
    part = run / "records" / "round=000003.parquet"
    table = pq.read_table(part, partitioning=None)
    at = table.column_names.index("model")
    before = table["model"].cast(pa.string()).to_pylist()
    scope, client = table["scope"].cast(pa.string()).to_pylist(), table["client"].to_pylist()
    models = [
        "personal" if where == "client_test" and who is not None else model
        for model, where, who in zip(before, scope, client, strict=True)
    ]
    written = pa.array(models, pa.string()).cast(table.schema.field("model").type)
    pq.write_table(table.set_column(at, "model", written), part)
    told = {name: cells(summarise(run), name) for name in ("worst client", "worst decile", "variance")}
    pq.write_table(table, part)
    assert told == {name: cells(summarise(run), name) for name in told}
    assert "–" not in str(told)


def test_a_run_before_its_first_round(tmp_path: Path) -> None:
    run = tmp_path / "fresh"
    run.mkdir()
    (run / "run.json").write_text('{"dataset": "FMNIST", "rounds": 5}', encoding="utf-8")
    assert summarise(run).splitlines()[0] == "FMNIST · seed ? · interrupted, 0 of 5 rounds"


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no .*run\.json"):
        summarise(tmp_path)


def test_the_end_of_fewer_rounds_is_told_with_its_round(tmp_path: Path) -> None:
    run, shorter = write_run(tmp_path / "a", status="running"), write_run(tmp_path / "b", rounds=2)
    for part in (shorter / "records").glob("final.parquet"):
        (run / "records" / part.name).write_bytes(part.read_bytes())
    text = summarise(run)
    assert "final: round 2" in text and "last: round 4" in text
    tables = [read(run), read(shorter)]
    told = [scores(one.records)[one.path.name] for one in tables]
    assert [any("final" in name for name, _ in facts) for facts in told] == [False, True]
