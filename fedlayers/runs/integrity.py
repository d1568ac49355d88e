"""Whether the files of a run are those that it wrote, and how it can go on if they are not."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fedlayers.core.errors import UserError
from fedlayers.core.seals import Seal, seal_of, state_seal
from fedlayers.runs.commits import Commit, DamagedError, read_commit
from fedlayers.runs.file_names import CLIENT, PART, run_files
from fedlayers.runs.manifest import BEST, Manifest

# More models than this are looked for but not read: every client's of every round may be many gigabytes.
MODELS_READ_BYTES = 4 * 2**30
_NEEDS_RESTORING = "restore it from a copy, or start the run anew with force=true"


def check_intact(run: Path, committed: int) -> list[str]:
    """Check every file of a run that is to be continued after a round, and return what the user should know.

    Raises:
        UserError: a file is missing or not as it was written; the sentence says how to go on.
    """
    damaged, remarks = _inspected(run, committed)
    if damaged:
        raise UserError(_sentence(run, committed, damaged))
    if read_commit(_server(run, committed)).manifest is None:
        remarks.append(f"rounds 0 to {committed} are of a version that kept no digests: their files were not checked")
    return remarks


def check_committed(run: Path, committed: int) -> None:
    """Check presence and size of every file of a run up to a round, whose checkpoint must be there.

    Raises:
        UserError: a file is missing or of another size.
    """
    damaged, _ = _inspected(run, committed, contents=False)
    if damaged:
        raise DamagedError(damaged[0].path, f"{damaged[0].what}{_and_more(len(damaged))}")


def can_go_back(run: Path, server_round: int) -> bool:
    """Say whether a round's checkpoint is there and everything it needs is as it was written."""
    return server_round >= 0 and _server(run, server_round).is_file() and not _inspected(run, server_round)[0]


def damaged_checkpoint(run: Path, committed: int, what: str) -> UserError:
    """Return the error for a checkpoint that cannot be used, which says how to go on."""
    arrays = _server(run, committed).with_suffix(".safetensors")
    return UserError(_sentence(run, committed, [DamagedError(arrays, what)]))


def check_not_lost(run: Path) -> None:
    """Check that a run without a checkpoint has no rounds: continuing would delete them.

    Raises:
        UserError: it has.
    """
    rounds = [file.round for file in run_files(run / "records", PART) if file.round and not file.unfinished]
    if rounds:
        raise UserError(
            f"{run / 'state'} holds no checkpoint (server@<round>.json), but records reach round {max(rounds)}: "
            "restore it from a copy, or start the run anew with force=true"
        )


def problem_of(path: Path, seals: Sequence[Seal], contents: bool = True) -> str | None:
    """Return what is wrong with a file, None if nothing is.

    Args:
        path: the file.
        seals: it must have one of them; if there are none, it must be there.
        contents: whether it is read, and not only looked for.
    """
    try:
        if not path.is_file():
            return "is no file" if path.exists() else "is missing"
        size = path.stat().st_size
        if seals and size not in {seal.size for seal in seals}:
            return f"has {size:,} bytes instead of {seals[0].size:,}"
        if not seals or not contents:
            return None
        found = state_seal(path) if re.fullmatch(CLIENT, path.name) else seal_of(path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if found in seals else "has another content than was written"


def _server(run: Path, server_round: int) -> Path:
    return run / "state" / f"server@{server_round}.json"


def _inspected(run: Path, committed: int, contents: bool = True) -> tuple[list[DamagedError], list[str]]:
    """Return the damaged files of the rounds up to a committed one, and what else the user should know."""
    try:
        commit = read_commit(_server(run, committed))
    except DamagedError as error:
        return [error], []
    manifest = Manifest(run)
    if commit.manifest is None:
        return [], []
    if what := manifest.problem(commit.manifest):
        return [DamagedError(manifest.path, what)], []
    expected = dict(_expected(commit, manifest))
    models = {name: seals[0].size for name, seals in expected.items() if name.startswith("snapshots/")}
    in_full = sum(models.values()) <= MODELS_READ_BYTES
    problems = {
        name: what
        for name, seals in expected.items()
        if (what := problem_of(run / name, seals, contents=contents and (in_full or name not in models)))
    }
    # Nothing is computed from a model that is kept for the user, who may delete it.
    gone = [name for name, what in problems.items() if name in models and what == "is missing"]
    remarks = [f"{run / gone[0]}{_and_more(len(gone))} is gone; the run goes on without"] if gone else []
    if not in_full:
        remarks.append(f"{run / 'snapshots'} is large: its files were looked for and not read")
    return [DamagedError(run / name, what) for name, what in problems.items() if name not in gone], remarks


def _expected(commit: Commit, manifest: Manifest) -> Iterator[tuple[str, list[Seal]]]:
    """Yield path -> seals of which the file must have one."""
    assert commit.manifest is not None
    files: dict[str, Seal] = {}
    for _, written in manifest.rounds(last=commit.manifest.size):
        files |= written
    files = _last_states({**files, **commit.files})
    # A round that was cut short, or is to be repeated, may have replaced the best model.
    later = [written[BEST] for _, written in manifest.rounds(first=commit.manifest.size) if BEST in written]
    for name, seal in files.items():
        yield name, [seal, *(later if name == BEST else [])]


def _last_states(files: Mapping[str, Seal]) -> dict[str, Seal]:
    """Return the files without the clients' states that others have followed, which may have been dropped."""
    found = {name: match for name in files if (match := re.fullmatch(f"state/{CLIENT}", name))}
    last: dict[str, int] = {}
    for match in found.values():
        last[match["client"]] = max(int(match["round"]), last.get(match["client"], 0))
    return {
        name: seal
        for name, seal in files.items()
        if name not in found or int(found[name]["round"]) == last[found[name]["client"]]
    }


def _sentence(run: Path, committed: int, damaged: Sequence[DamagedError]) -> str:
    first = damaged[0]
    told = f"{first.path} {first.what}{_and_more(len(damaged))}, so the run is not continued: "
    if all(fault.path.parent == run / "snapshots" for fault in damaged):
        return f"{told}restore it from a copy, or delete it and start the same command again"
    if not can_go_back(run, committed - 1):
        return told + _NEEDS_RESTORING
    return (
        f"{told}restore it from a copy, or delete {_server(run, committed)} and start the same command again, which "
        f"repeats round {committed} from the state of the round before, which is kept and whole"
    )


def _and_more(files: int) -> str:
    return f" (and {files - 1} more of its files)" if files > 1 else ""
