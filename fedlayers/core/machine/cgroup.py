"""What a container or a service may use: limits of Linux's control groups, which affinity and memory size do not show.

References:
    https://docs.kernel.org/admin-guide/cgroup-v2.html (``cpu.max``, ``memory.max``);
    https://docs.kernel.org/scheduler/sched-bwc.html and admin-guide/cgroup-v1/memory.html.
"""

from collections.abc import Iterator
from pathlib import Path

# Version 1 says "no limit" by the largest multiple of a page, other programs by numbers as large.
_NO_LIMIT_BYTES = 2**60


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return how many CPUs' time this process may use, such as 2.0 with ``docker --cpus=2``; None without a limit.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    quotas = []
    for folder in _folders(root, "cpu"):
        words = _words(folder / "cpu.max") or [
            *_words(folder / "cpu.cfs_quota_us"),
            *_words(folder / "cpu.cfs_period_us"),
        ]
        if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]) > 0:
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory this process may use with all others of its group; None without a limit.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    limits = []
    for folder in _folders(root, "memory"):
        words = _words(folder / "memory.max") or _words(folder / "memory.limit_in_bytes")
        if len(words) == 1 and words[0].isdigit() and int(words[0]) < _NO_LIMIT_BYTES:
            limits.append(int(words[0]))
    return min(limits, default=None)


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's groups, innermost first: the limits of all of them hold.

    A container may see its own group as the root, under a path that is the host's: folders that are not there are
    passed over by whoever reads in them.
    """
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            mounts = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"]
        elif controller in controllers.split(","):
            mounts = [root / "sys/fs/cgroup" / controllers, root / "sys/fs/cgroup" / controller]
        else:
            continue
        inner = Path(path.lstrip("/"))
        for mount in mounts:
            yield from (mount / part for part in (inner, *inner.parents))


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
