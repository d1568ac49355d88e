"""Where a run goes on: what its folder holds, what is asked for now, and whether they belong together."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import UserError
from fedlayers.core.federation import Federation
from fedlayers.data import load_federation
from fedlayers.data.cache import data_root
from fedlayers.data.download import no_downloads
from fedlayers.data.source import source_of
from fedlayers.runs.done import known_end, read_done
from fedlayers.runs.folder import RunFolder
from fedlayers.runs.integrity import can_go_back, check_intact, check_not_lost
from fedlayers.runs.lock import lock
from fedlayers.runs.reading.completeness import has_small_files
from fedlayers.runs.reading.parts import check_sizes
from fedlayers.runs.reading.run_facts import run_facts


def nothing_left(folder: RunFolder, config: Config) -> str | None:
    """Return a sentence if a run is complete, None if there is something to do.

    Raises:
        UserError: it has more rounds than are asked for, its data are others by now, or its tables are damaged.
        LockedError: another process goes on with it.
    """
    if config.force or not folder.is_complete(config.rounds):
        return None
    done = read_done(folder.path)
    rounds = folder.last_round() if done is None or done.rounds is None else done.rounds
    if rounds is not None and config.rounds < rounds:
        raise UserError(
            f"rounds must be {rounds} or more for {folder.path}, which is finished with {rounds} rounds, got "
            f"{config.rounds}; ask for rounds={rounds}, or choose another study=... for a run of {config.rounds}"
        )
    check_sizes(folder.path, rounds)
    known = folder.manifest.sources()
    if known:
        _check_sources(folder, known, {"data": _data_at_hand(config), "init": init_digest(config)})
    if not has_small_files(folder.path):
        return None
    if run_facts(folder.path)["status"] != "complete":
        # More rounds were asked for and none was reached.
        with lock(folder.path):
            folder.write_facts({**folder.facts(), "rounds": rounds, "status": "complete", "reason": None})
    return f"already complete: {folder.path} ({rounds} rounds); force=true runs it again"


def resume(folder: RunFolder, config: Config, federation: Federation) -> int | None:
    """Check what a locked folder holds, delete what does not count, and return the round to go on after.

    Raises:
        UserError: it is damaged, is of other data, or has more rounds than are asked for.
    """
    sources = {"data": federation.digest, "init": init_digest(config)}
    committed = folder.last_round()
    if committed is None:
        check_not_lost(folder.path)
    else:
        for remark in check_intact(folder.path, committed):
            print(f"note: {remark}")
        _check_sources(folder, folder.manifest.sources(), sources)
        committed = _last_usable(folder, config.rounds, committed)
    facts = folder.facts()
    if facts.get("round") != committed:
        # Readers look for the parts of as many rounds.
        best = None if committed is None else folder.checkpoint(committed)[1].get("best")
        folder.write_facts({**facts, "round": committed, "best": best})
    folder.rewind(committed)
    folder.manifest.begin(sources, 0 if committed is None else committed + 1)
    return committed


def init_digest(config: Config) -> str | None:
    """Return what names the weights that ``init`` leads to; None without one, or if there is nothing to be read."""
    if not config.init:
        return None
    other = RunFolder(Path(config.init))
    try:
        last = other.last_round()
        if last is None:
            return None
        arrays = load(other.checkpoint(last)[0])
    except (UserError, SafetensorError, OSError):
        return None
    state = hashlib.sha256()
    for name in sorted(arrays):
        if name.startswith(("weights/", "buffers/")):
            state.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
            state.update(np.ascontiguousarray(arrays[name]).tobytes())
    return state.hexdigest()[:32]


def _data_at_hand(config: Config) -> str | None:
    """Return the digest of the run's data, None if its files are not here, or if it has none that could change."""
    source = source_of(config.dataset)
    try:
        with no_downloads():
            files = source.files(data_root(config.data_dir))
    except UserError:
        return None
    try:
        return load_federation(config).digest if files and all(path.exists() for path in files) else None
    except UserError as error:
        print(f"note: the data could not be looked at: {error}")
        return None


def _check_sources(folder: RunFolder, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that a run's numbers come from the same data as before; what cannot be looked at is not compared."""
    for key, what in (("data", "dataset: the data"), ("init", "init: the model it names")):
        if before.get(key) and now.get(key) and before[key] != now[key]:
            raise UserError(
                f"{what} must be as when {folder.path} was begun (digest {before[key]}), got other content (digest "
                f"{now[key]}); put the old one back to go on, or start the run anew with force=true"
            )


def _last_usable(folder: RunFolder, rounds: int, committed: int) -> int:
    """Return the round after which a run of so many rounds goes on."""
    asked = folder.checkpoint(committed)[1].get("rounds", rounds)
    done = known_end(folder.path)
    if committed > rounds:
        end = f" (and the end after {done.rounds}, which is kept until another replaces it)" if done else ""
        raise UserError(
            f"rounds must be {committed} or more to go on with {folder.path}, which holds {committed} rounds{end}, got "
            f"{rounds}; ask for rounds={max(asked, committed)}, or choose another study=... for a run of {rounds}"
        )
    if committed < rounds or asked == rounds or (done is not None and done.rounds == committed):
        return committed
    # What is measured in the last round only was not measured in this one.
    if not can_go_back(folder.path, committed - 1):
        raise UserError(
            f"rounds must be {committed + 1} or more to go on with {folder.path}, got {rounds}: round {committed} was "
            "not measured as the last one, and the state before it is no longer there; ask for more rounds"
        )
    print(f"round {committed} was one of {asked}: it is repeated as the last one")
    return committed - 1
