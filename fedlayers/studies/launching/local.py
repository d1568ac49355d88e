"""Jobs as processes of this machine, as many at a time as their CPUs fit in."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fedlayers.core.machine.allocation import CPUS, available_cpus
from fedlayers.core.machine.disk import disk_errors, make_folder
from fedlayers.studies.launching import jobs as jobs_module
from fedlayers.studies.launching.job import Job
from fedlayers.studies.launching.jobs import Jobs, refused

# How long a run whose time is up has for its last round.
_LAST_ROUND_S = 600.0


@dataclass
class _Process:
    process: "subprocess.Popen[bytes]"
    errors: Path
    deadline: float
    is_late: bool = False


class LocalJobs(Jobs):
    """Processes of their own, each with ``hydra.launcher.cpus_per_task`` CPUs and no more.

    They are out of the terminal's reach and stop when this process says so, or ends.
    """

    def __init__(self, settings: Mapping[str, Any], say: Callable[[str], None]) -> None:
        super().__init__(settings, say)
        if int(settings.get("nodes") or 1) > 1:
            raise refused(ValueError("hydra/launcher=local has one node, this machine: leave out hydra.launcher.nodes"))
        self._running: dict[Path, _Process] = {}
        self._next: dict[Path, Job] = {}

    @property
    def waiting(self) -> int:
        """The number of jobs that have not ended, those not yet started included."""
        return len(self._running) + len(self._next)

    def start(self, jobs: Mapping[Path, Job]) -> None:
        """Start as many as fit; the others follow as these end."""
        cpus = int(self.settings["cpus_per_task"] or 1)
        self._at_once = max(1, available_cpus() // cpus)
        self._next = dict(jobs)
        self._environment = {CPUS: str(cpus), "CUDA_VISIBLE_DEVICES": self._gpus()}
        if jobs:
            places = f"{min(self._at_once, len(jobs))} at a time with {cpus} CPU{'s' if cpus > 1 else ''} each"
            self.say(f"{len(jobs)} runs in processes of their own, {places}")
        self._fill()

    def ended(self) -> Iterator[tuple[Path, str | None]]:
        """Wait a moment; yield what ended, and why if not in order; then start the next ones."""
        time.sleep(jobs_module.POLL_S)
        for folder, one in list(self._running.items()):
            if one.process.poll() is None:
                self._end_late(one)
            else:
                del self._running[folder]
                yield folder, self._reason(one)
        self._fill()

    def leave(self) -> None:
        """Stop the processes at their last complete round, or at once if a second Ctrl-C comes; tell it."""
        self._next = {}
        if not self._running:
            return
        self.say(
            f"stopping {len(self._running)} runs at their last complete round; the same command continues them "
            "(Ctrl-C again: at once)"
        )
        try:
            for one in self._running.values():
                _send(one.process, signal.SIGTERM)
            for one in self._running.values():
                one.process.wait()
        except KeyboardInterrupt:
            for one in self._running.values():
                _send(one.process, signal.SIGKILL)
            raise

    def _gpus(self) -> str:
        return ",".join(str(number) for number in range(int(self.settings.get("gpus_per_node") or 0)))

    def _fill(self) -> None:
        while self._next and len(self._running) < self._at_once:
            folder = next(iter(self._next))
            self._running[folder] = self._begin(folder, self._next.pop(folder))

    def _begin(self, folder: Path, job: Job) -> _Process:
        output = Path(str(self.settings["submitit_folder"]).replace("%j", folder.name))
        make_folder(output)
        errors = output / ("out.txt" if self.settings.get("stderr_to_stdout") else "err.txt")
        order = json.dumps({"words": list(job.words), "folder": str(folder)})
        with ExitStack() as stack:
            files: list[IO[bytes]] = []
            for path in (output / "out.txt", errors):
                with disk_errors(path):
                    files.append(stack.enter_context(path.open("ab")))
            process = subprocess.Popen(
                [sys.executable, "-u", "-m", "fedlayers.studies.launching.process", order],
                env={**os.environ, **self._environment},
                stdin=subprocess.PIPE,
                stdout=files[0],
                stderr=files[1],
                start_new_session=True,
            )
        return _Process(process, errors, time.monotonic() + 60 * float(self.settings["timeout_min"]))

    def _end_late(self, one: _Process) -> None:
        """Stop a run whose time is up; kill it if it does not end."""
        late_s = time.monotonic() - one.deadline
        if late_s > 0 and not one.is_late:
            one.is_late = True
            _send(one.process, signal.SIGTERM)
        elif late_s > _LAST_ROUND_S:
            _send(one.process, signal.SIGKILL)

    def _reason(self, one: _Process) -> str | None:
        """Return why a process ended that did not come to its end, None for one that did."""
        code = one.process.returncode
        if one.is_late and code:
            return "hydra.launcher.timeout_min is over; the same command continues it"
        if code == 0 or code in (128 + signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGHUP):
            return None
        if code < 0:
            return f"its process was killed ({signal.Signals(-code).name}); its output: {one.errors}"
        lines = one.errors.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"its process ended with code {code}; its output: {one.errors}"


def _send(process: "subprocess.Popen[bytes]", number: int) -> None:
    """Send a signal to a process, SIGKILL also to what it has started."""
    with suppress(ProcessLookupError, PermissionError):
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
