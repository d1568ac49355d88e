"""How long a run took: the time of all its processes, also of those that were killed."""

import time
from pathlib import Path
from typing import Any

from fedlayers.runs.folder import RunFolder
from fedlayers.runs.lock_card import NAME


class WallTime:
    """Counts the seconds of a run from now on, beside those of earlier processes.

    Args:
        folder: the run's folder, locked, ``run.json`` as the last process left it.
        sign_of_life: when that process touched its lock last, in seconds since 1970; None if it took its lock away.
    """

    def __init__(self, folder: RunFolder, sign_of_life: float | None) -> None:
        self._folder = folder
        self._began = time.monotonic()
        self._before = _seconds_before(folder.facts(), sign_of_life)

    def __call__(self) -> float:
        """Return the seconds so far."""
        return self._before + time.monotonic() - self._began

    def stretch(self) -> dict[str, float]:
        """Return what the next process needs to know of this one, should it be killed."""
        return {"began": time.time() - (time.monotonic() - self._began), "wall_s_before": self._before}

    def stop(self) -> None:
        """Write the seconds to ``run.json``; the process ends, or the rounds do."""
        facts = {**self._folder.facts(), "wall_s": self()}
        # Without any stretch no round has begun.
        if facts.get("stretches"):
            *earlier, last = facts["stretches"]
            facts["stretches"] = [*earlier, {**last, "wall_s": time.monotonic() - self._began}]
        self._folder.write_facts(facts)


def sign_of_life(run: Path) -> float | None:
    """Return when whoever wrote a run touched its lock last, None if there is none."""
    try:
        return (run / NAME).stat().st_mtime
    except OSError:
        return None


def _seconds_before(facts: dict[str, Any], sign_of_life: float | None) -> float:
    """Return the seconds of earlier processes; a killed one has lived until it touched its lock last."""
    known = float(facts.get("wall_s") or 0.0)
    last = (facts.get("stretches") or [{}])[-1]
    if "wall_s" in last or "began" not in last or sign_of_life is None:
        return known
    # Clocks may differ between machines.
    lived = min(sign_of_life, time.time()) - float(last["began"])
    return max(known, float(last["wall_s_before"]) + lived)
