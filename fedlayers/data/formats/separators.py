"""Tables in text files whose columns are separated by another sign than their name promises."""

import gzip
from collections.abc import Iterable
from pathlib import Path

from fedlayers.core.errors import UserError

PROMISED = {".csv": ",", ".tsv": "\t"}
WORDS = {",": "commas", "\t": "tabs", ";": "';'", "|": "'|'"}


def refuse_other_separator(files: Iterable[Path]) -> None:
    """Refuse a file whose first line has no separator of its kind, but one of another kind.

    Args:
        files: those that may be meant; others than .csv and .tsv, packed or not, are passed over.

    Raises:
        UserError: names the separator that was found and the way out.
    """
    for file in files:
        suffix = (file.with_suffix("") if file.suffix == ".gz" else file).suffix.lower()
        header = _first_line(file) if suffix in PROMISED else ""
        found = max(WORDS, key=header.count)
        if not header or PROMISED[suffix] in header or found not in header:
            continue
        named = next((f" or name it {other}" for other, sign in PROMISED.items() if sign == found), "")
        raise UserError(
            f"dataset.path must be a {suffix} file with {WORDS[PROMISED[suffix]]} between its columns, got {file} with "
            f"{WORDS[found]} between them; save it with {WORDS[PROMISED[suffix]]}{named}, and write numbers with a "
            "decimal point"
        )


def _first_line(file: Path) -> str:
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
            return stream.readline(1 << 16).decode(errors="replace").strip("\r\n")
    except (OSError, EOFError):  # what is wrong with it is told by its reader
        return ""
