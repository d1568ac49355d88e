"""A comparison in files: its tables as parquet and CSV, what a paper shows of them as Markdown and LaTeX."""

from collections.abc import Iterator
from pathlib import Path

from fedlayers.core.machine.disk import make_folder, whole_file, write_text
from fedlayers.views.comparison.compared import AlgorithmComparison
from fedlayers.views.comparison.conclusions import conclusions
from fedlayers.views.comparison.formats import as_latex, as_markdown, joined
from fedlayers.views.comparison.sheets import sheets


def write(comparison: AlgorithmComparison, folder: Path) -> Iterator[Path]:
    """Write all files of a comparison into a folder and yield them; equal comparisons give equal files.

    Raises:
        DiskError: they cannot be written there.
    """
    make_folder(folder)
    for name, table in comparison.tables().items():
        with whole_file(folder / f"{name}.parquet") as file:
            table.to_parquet(file, index=False)
        write_text(folder / f"{name}.csv", table.to_csv(index=False))
        yield from (folder / f"{name}.parquet", folder / f"{name}.csv")
    shown = list(sheets(comparison))
    sentences = "\n".join(f"- {sentence}" for sentence in conclusions(comparison))
    write_text(folder / "comparison.md", joined([*map(as_markdown, shown), sentences]) + "\n")
    write_text(folder / "comparison.tex", joined(map(as_latex, shown)) + "\n")
    yield from (folder / "comparison.md", folder / "comparison.tex")
