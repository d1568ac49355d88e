import re
from pathlib import Path

import fedlayers
from fedlayers.report.page import write_report
from tests.support.chain_tables import Chain, write_chain
from tests.support.fake_run import write_run


def part_of(page: str) -> str:
    """Return the part of a page that answers the questions about layers."""
    found = re.search(r'<section id="answers">.*?</section>', page, re.DOTALL)
    return found[0] if found else ""


def test_a_study_answers_for_its_complete_runs(tmp_path: Path) -> None:
    for seed in range(2):
        write_chain(tmp_path, Chain("mlp", "<!-- scripts --><b>", seed, clients=1, rounds=1))
    page = write_report(tmp_path, answers=4).read_text(encoding="utf-8")
    part = part_of(page)
    assert "What layers answer · 2 complete runs" in part
    assert page.count('id="frozen-packed"') == 1 and "<b>" not in part
    answers = fedlayers.read(tmp_path).answers()
    assert part.count("<tr>") == 1 + len(answers.table)
    plain = part.replace("&#x27;", "'")
    statement = "global model: Yes: probe accuracy goes from"
    assert statement in plain and statement in answers.text
    change = answers.table.iloc[0]["change"]
    assert f"<td>{change:.3g} [" in part


def test_a_run_answers_for_itself(tmp_path: Path) -> None:
    part = part_of(
        write_report(write_chain(tmp_path, Chain(clients=1, rounds=1)), answers=4).read_text(encoding="utf-8")
    )
    assert "<h2>What layers answer</h2>" in part and "take more seeds" in part


def test_runs_without_all_three_questions_have_no_such_part(tmp_path: Path) -> None:
    page = write_report(write_run(tmp_path / "main"), answers=4).read_text(encoding="utf-8")
    assert part_of(page) == ""


def test_a_study_of_which_no_run_is_complete_has_none_yet(tmp_path: Path) -> None:
    run = write_chain(tmp_path, Chain(clients=1, rounds=1))
    (run / "done.json").unlink()
    facts = (run / "run.json").read_text(encoding="utf-8")
    (run / "run.json").write_text(facts.replace('"complete"', '"running"'), encoding="utf-8")
    assert part_of(write_report(tmp_path, answers=4).read_text(encoding="utf-8")) == ""
