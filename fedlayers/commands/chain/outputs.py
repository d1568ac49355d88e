"""What a run or a study has left in its folder, listed for a reader by what it is of."""

from collections.abc import Iterator
from pathlib import Path

from fedlayers.runs.reading.run_facts import is_run, run_folders

_TRAINING = ("config.yaml", "run.json", "partition.parquet", "study.parquet", "report.html")
_TABLES = ("records", "pairs", "spectra", "resources")


def files_of(folder: Path) -> str:
    """Return the files of a run or of a study and its runs, those of each kind together."""
    runs = [folder] if is_run(folder) else run_folders(folder)
    kinds = {
        "training": [*_training(folder), *(file for run in runs if run != folder for file in _training(run))],
        "evaluation": [file for run in runs for file in _below(run / "evaluation")],
        "figures": _below(folder / "figures"),
    }
    lines = [f"files in {folder}"]
    for kind, files in kinds.items():
        lines += [f"  {kind}", *(f"    {file.relative_to(folder)}" for file in files)] if files else []
    return "\n".join(lines)


def _training(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in _TRAINING if (folder / name).is_file())
    yield from (folder / name for name in _TABLES if any((folder / name).glob("*.parquet")))
    yield from sorted((folder / "snapshots").glob("*.safetensors"))


def _below(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
