"""The glossary: every column and every word of the design, in order, each in a sentence or two."""

import re
from pathlib import Path

from fedlayers.core.records import MOMENTS, SCHEMAS, SCOPES
from fedlayers.data.load import IMPUTED_COLUMNS
from fedlayers.runs.reading.run_columns import FACT_COLUMNS
from fedlayers.runs.reading.tables import PARTITION_COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "glossary.md").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^\*\*(.+?)\*\*: (.+)$", PAGE, re.MULTILINE))
WORDS = {
    "attribution map", "class tier", "client", "client cluster", "cohort", "curvature", "data scope", "disagreement",
    "distance", "drift", "example", "federation plan", "layer", "layer group", "learner", "metric", "moment",
    "objective", "observer", "probe", "record", "record cluster", "resource record", "round", "run", "sensitivity",
    "server", "similarity", "snapshot", "study", "update",
}  # fmt: skip


def test_every_column_of_every_table_is_explained() -> None:
    explained = set(re.findall("`(.+?)`", " ".join(ENTRIES)))
    columns = {name for schema in SCHEMAS.values() for name in schema.names}
    columns |= {*PARTITION_COLUMNS, "planted_group", *IMPUTED_COLUMNS, *FACT_COLUMNS.values()}
    assert columns - explained == set()


def test_every_word_of_the_design_is_explained() -> None:
    assert WORDS - set(ENTRIES) == set()
    assert all(f"`{moment}`" in ENTRIES["moment"] for moment in MOMENTS)
    assert all(f"`{scope}`" in ENTRIES["data scope"] for scope in SCOPES)


def test_words_are_in_order_and_explained_in_one_or_two_sentences() -> None:
    plain = [word.replace("`", "").lower() for word in ENTRIES]
    assert plain == sorted(plain)
    assert len(ENTRIES) == PAGE.count("\n**")
    for word, text in ENTRIES.items():
        assert 1 <= len(re.findall(r"\.(?: |$)", text)) <= 2, word
