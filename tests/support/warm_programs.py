"""Programs as processes that begin where importing has ended: forked from one process that has imported everything.

``python -m tests.support.warm_programs SOCKET`` is that process, one for each process that tests; it has no threads and
has computed nothing. What it forks has arguments, environment, folder, streams and process group of its own, goes
through the end of Python as any program does, and is killed or signalled like one.
"""

import gc
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

# What a run on any engine imports; seconds of a core.
IMPORTED = [
    *("fedlayers.commands.main", "fedlayers.execution.execute", "fedlayers.execution.summary", "clients.fedavg"),
    *("fedlayers.engines.flower_runtime", "fedlayers.engines.ray.engine", "metrics.evaluation", "metrics.weights"),
]
_STATUS = struct.Struct("i")


class Program(subprocess.Popen[str]):
    """``subprocess.Popen`` of ``python WORDS``, without the seconds that importing takes.

    Args:
        words: what stands behind ``python``: ``-m module ...``, or a script and its arguments.
        how: see :class:`subprocess.Popen`; streams, ``cwd``, ``env`` and ``start_new_session`` count.
    """

    def __init__(self, words: Sequence[str], **how: Any) -> None:
        super().__init__(list(words), text=True, **how)

    def _execute_child(self, words: list[str], *how: Any) -> None:
        """Have the process forked; ``Popen`` starts one here."""
        _, _, _, _, folder, environment, _, _, _, *pipes = how
        stdin, to_child, from_child, stdout, from_errors, stderr, *_, new_session, _ = pipes
        asked = {"words": words, "folder": os.fspath(folder or Path.cwd()), "new_session": new_session}
        asked["environment"] = dict(os.environ if environment is None else environment)
        self._told, telling = os.pipe()
        streams = [own if given == -1 else given for own, given in enumerate((stdin, stdout, stderr))]
        socket.send_fds(_warm(), [json.dumps(asked).encode()], [*streams, telling])
        os.close(telling)
        self._close_pipe_fds(stdin, to_child, from_child, stdout, from_errors, stderr)  # type: ignore[attr-defined]
        [self.pid] = _STATUS.unpack(os.read(self._told, _STATUS.size))
        self._child_created = True

    def _try_wait(self, flags: int) -> tuple[int, int]:
        """Return what ``os.waitpid`` does, of a process that is a child of another."""
        os.set_blocking(self._told, not flags & os.WNOHANG)
        try:
            [status] = _STATUS.unpack(os.read(self._told, _STATUS.size))
        except BlockingIOError:
            return 0, 0
        os.close(self._told)
        return self.pid, status

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None:
            process, status = self._try_wait(os.WNOHANG)
            if process:
                self._handle_exitstatus(status)  # type: ignore[attr-defined]
        return self.returncode


def output(words: Sequence[str], **how: Any) -> subprocess.CompletedProcess[str]:
    """Return what ``subprocess.run([python, *words], capture_output=True, text=True)`` does."""
    with Program(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how) as process:
        said, errors = process.communicate()
    return subprocess.CompletedProcess(list(words), process.returncode, said, errors)


@cache
def _warm() -> socket.socket:
    """Start the process that imports; it ends with this one, whose end of the socket closes then."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.support.warm_programs", str(theirs.fileno())]
    subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()
    return ours


def _next_program(asking: socket.socket) -> list[str]:
    """Fork whenever a program is asked for; return its words, in the process that is to be that program."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those between
    while True:
        asked, descriptors, *_ = socket.recv_fds(asking, 2**20, 4)
        if not asked:
            os._exit(0)
        # A process between waits for the program and tells how it ended.
        if os.fork():
            for descriptor in descriptors:
                os.close(descriptor)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        *streams, telling = descriptors
        if program := os.fork():
            for descriptor in (*streams, asking.fileno()):
                os.close(descriptor)
            os.write(telling, _STATUS.pack(program))
            os.write(telling, _STATUS.pack(os.waitpid(program, 0)[1]))
            os._exit(0)
        asking.close()
        os.close(telling)
        return _become(json.loads(asked), streams)


def _become(asked: dict[str, Any], streams: Sequence[int]) -> list[str]:
    """Take over streams, folder, environment and process group of a program; return its words."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    if asked["new_session"]:
        os.setsid()
    words: list[str] = asked["words"]
    return words


def _run(words: list[str]) -> None:
    """Be ``python WORDS``."""
    if words[0] == "-m":
        sys.argv, sys.path[0] = words[1:], str(Path.cwd())
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = words, str(Path(words[0]).resolve().parent)
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    for name in IMPORTED:
        import_module(name)
    gc.collect()
    gc.freeze()
    _run(_next_program(socket.socket(fileno=int(sys.argv[1]))))
