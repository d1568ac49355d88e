"""Files that are not downloaded: they need a licence, a program of their authors', or an archive unpacked by hand."""

from collections.abc import Sequence
from pathlib import Path

from fedlayers.core.errors import UserError
from fedlayers.data.download import present


def by_hand(name: str, root: Path, wanted: Sequence[str], page: str, how: str) -> list[Path]:
    """Return the paths of files that a person has put into the folder of data sets.

    Args:
        name: what messages call the data set.
        root: the folder of all data sets.
        wanted: the files, relative to it; one that ends in ``.gz`` may also be there unpacked.
        page: where they are described and had.
        how: how to make these files of what is there, and how to check them.

    Raises:
        UserError: some are missing; says where and how they are had.
    """
    found = [present(root / file) for file in wanted]
    missing = [file for file, path in zip(wanted, found, strict=True) if path is None]
    if missing:
        raise UserError(
            f"data_dir must name a folder that has the files of {name}, which are not downloaded, got {root} without "
            f"{', '.join(missing[:4])}{' and more' if len(missing) > 4 else ''}; get them from {page}: {how}"
        )
    return [path for path in found if path is not None]
