"""What a saved report holds, read back from its file."""

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np


class SavedPage(HTMLParser):
    """The elements of a page, their attributes, its texts and the answers in it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: dict[str, str] = {}
        self.text = file.read_text(encoding="utf-8")
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in ("meta", "input", "link"):
            self.open.append(dict(attrs).get("id") or tag)

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data

    @property
    def answers(self) -> dict[str, Any]:
        """The answers by key, packed."""
        packed = re.search(r'id="frozen-packed">([^<]*)<', self.text)
        assert packed
        found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed[1])))
        return found

    @property
    def runs(self) -> list[str]:
        """The names of the runs in the page."""
        return [line["run"] for line in self.answers["runs?"]["json"]]


def unpacked(answer: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the columns of a packed answer."""
    return {name: _column(column, answer["length"]) for name, column in answer["columns"].items()}


def _column(column: dict[str, Any], length: int) -> list[Any]:
    if "all" in column:
        value = float("nan") if column["all"] is None else column["all"]
        return [value] * length
    kind = next(name for name in ("f4", "f8", "bits", "codes") if name in column)
    types = {"f4": "<f4", "f8": "<f8", "bits": "u1", "codes": "<u4"}
    numbers = np.frombuffer(base64.b64decode(column[kind]), types[kind])
    if kind == "codes":
        return [column["words"][code] for code in numbers]
    return list(numbers.astype(bool if kind == "bits" else float))
