"""Files of data sets: those already there are used as they are, the others are downloaded."""

import contextlib
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock

from fedlayers.core.errors import UserError
from fedlayers.core.machine.cache_root import cache_root

_ALLOWED = ContextVar("downloads are allowed", default=True)


@dataclass(frozen=True)
class Download:
    """One official address and the files that come from it.

    Attributes:
        url: a file, or an archive (``.zip``, ``.tar.gz``).
        folder: where the files are put, relative to the folder of all data sets.
        md5: published checksum of what the address holds; None if none is published, which an archive must have: its
            names and links decide where files go.
        sha256: the same, for addresses whose SHA-256 is published and whose MD5 is not.
        members: paths inside the archive of the files that are kept; empty if the address is the file itself.
        rows: number of text lines the file must have, for files without a published checksum.

    Raises:
        UserError: an archive has no checksum.
    """

    url: str
    folder: str
    md5: str | None
    members: tuple[str, ...] = ()
    rows: int | None = None
    sha256: str | None = None

    @property
    def known(self) -> str | None:
        """The checksum as pooch takes it, None if there is none."""
        return f"md5:{self.md5}" if self.md5 else f"sha256:{self.sha256}" if self.sha256 else None

    def __post_init__(self) -> None:
        if self.members and self.known is None:
            raise UserError(
                f"Download: md5 or sha256 must be given for an archive, got None for {self.url}; download it once, "
                "look at what is in it, and take what md5sum says"
            )

    def targets(self, root: Path) -> list[Path]:
        """Return the paths of the files once they are there."""
        return [root / self.folder / PurePosixPath(member).name for member in self.members or (self.url,)]


@contextmanager
def no_downloads() -> Iterator[None]:
    """Let :func:`fetch` refuse what is missing instead of downloading it, for a block of code."""
    before = _ALLOWED.set(False)
    try:
        yield
    finally:
        _ALLOWED.reset(before)


def fetch(name: str, downloads: Sequence[Download], root: Path) -> list[Path]:
    """Return the paths of all files, after downloading those that are missing.

    A ``.gz`` file may also be there unpacked. Every file is written under another name and renamed; one process at
    a time downloads.

    Raises:
        UserError: if a file is missing and cannot be downloaded; lists all missing files and where to put them.
    """
    if not all(present(path) for download in downloads for path in download.targets(root)):
        try:
            if not _ALLOWED.get():
                raise OSError("nothing is downloaded just to look at it")
            _download_missing(downloads, root)
        except (OSError, ValueError, EOFError, KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
            raise _unavailable(name, downloads, root, error) from error
    return [found for download in downloads for path in download.targets(root) if (found := present(path))]


def present(path: Path) -> Path | None:
    """Return the path of a file that is there, of one that ends in ``.gz`` also unpacked; None if it is not."""
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    return next((candidate for candidate in (path, plain) if candidate.is_file()), None)


def _download_missing(downloads: Sequence[Download], root: Path) -> None:
    # The lock is in the cache, so that a folder of data sets holds nothing but data.
    lock = cache_root() / "prepared" / ".download.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        for download in downloads:
            missing = [path for path in download.targets(root) if not present(path)]
            if missing:
                with _made(root), tempfile.TemporaryDirectory(dir=root, prefix=".download-") as scratch:
                    _retrieve(download, missing, Path(scratch))


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Have a folder for a block of code; what was not there before and stays empty goes again, parents included."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for path in new:
            with contextlib.suppress(OSError):
                path.rmdir()


def _retrieve(download: Download, missing: Sequence[Path], scratch: Path) -> None:
    import pooch

    progress = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=30)
    members = {PurePosixPath(member).name: member for member in download.members}
    unpacker = pooch.Unzip if download.url.endswith(".zip") else pooch.Untar
    unpacked = unpacker([members[target.name] for target in missing], "unpacked") if members else None
    pooch.retrieve(download.url, download.known, "download", scratch, unpacked, progress)
    got = scratch / "download"
    if download.rows is not None and (rows := len(got.read_bytes().splitlines())) != download.rows:
        raise ValueError(f"{download.url} has {rows} lines instead of {download.rows}")
    for target in missing:
        content = scratch / "unpacked" / members[target.name] if members else got
        if not content.is_file():
            raise ValueError(f"{members[target.name]} in {download.url} is not a file")
        target.parent.mkdir(parents=True, exist_ok=True)
        content.replace(target)


def _unavailable(name: str, downloads: Sequence[Download], root: Path, error: Exception) -> UserError:
    lines = [
        f"  {path}  from {download.url}" + (f" (in it: {member})" if download.members else "")
        for download in downloads
        for path, member in zip(download.targets(root), download.members or ("",), strict=True)
        if not present(path)
    ]
    reason = " ".join(str(error).split())[:120]
    return UserError(
        f"data_dir must name a folder that has the files of {name}, got {root}, and the missing ones could not be "
        f"downloaded ({type(error).__name__}: {reason}); put them there, or set data_dir or the environment "
        "variable FEDLAYERS_DATA to a folder that has them:\n" + "\n".join(lines)
    )
