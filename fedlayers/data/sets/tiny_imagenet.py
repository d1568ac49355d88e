"""Tiny-ImageNet: 200 of ImageNet's classes in small pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from fedlayers.data.download import Download, fetch
from fedlayers.data.formats.picture_folders import contents, image
from fedlayers.data.source import Arrays, DatasetFacts, damaged

FOLDER = "tiny-imagenet-200"
TABLES = ("wnids.txt", "words.txt", "val/val_annotations.txt")
SIDE = 64


class TinyImageNet:
    """110,000 colour images of 64×64 pixels, 500 of each class for training and 50 for testing.

    The official test images have no labels: those for validation are the test set here. They are read from the folder
    ``tiny-imagenet-200`` or from the archive itself, which is not unpacked. Of a folder, what was prepared is made
    again when its tables change or a class comes or goes.

    References:
        Le & Yang 2015, Tiny ImageNet Visual Recognition Challenge, Stanford CS 231N.
    """

    def files(self, root: Path) -> Sequence[Path]:
        """Return the folder's tables and its folder of classes, else the archive, downloaded if it is missing."""
        folder = root / FOLDER
        if folder.is_dir():
            return [*(folder / table for table in TABLES), folder / "train"]
        url, md5 = "http://cs231n.stanford.edu/tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de"
        return fetch("TinyImageNet", [Download(url, "", md5)], root)

    def read(self, root: Path) -> Arrays:
        """Return all images, shape (n, 3, 64, 64), those with which the authors validate last."""
        files = self.files(root)
        place = files[0] if len(files) == 1 else root / FOLDER
        numbers, names, tested = _tables(place)
        train: list[tuple[int, np.ndarray]] = []
        test: list[tuple[int, np.ndarray]] = []
        for path, (part, folder), content in contents(place, _picture):
            number = tested.get(path.name, "") if part == "val" else folder
            if number not in numbers:
                raise damaged(place, f"{path} is of no class in wnids.txt")
            (test if part == "val" else train).append((numbers[number], image(content, SIDE, place, path)))
        if not train or not test:
            raise damaged(place, f"{len(train)} images for training and {len(test)} for validation")
        images, labels = (np.stack([entry[k] for entry in (*train, *test)]) for k in (1, 0))
        return Arrays(images, labels, DatasetFacts(names, num_test=len(test)))


def _tables(place: Path) -> tuple[Mapping[str, int], tuple[str, ...], Mapping[str, str]]:
    """Return the label of each class's number, the classes' names, and the number of each validation image."""
    texts = {kind: content.decode("utf-8", "replace") for _, kind, content in contents(place, _table)}
    if lacking := [table for table in TABLES if table not in texts]:
        raise damaged(place, f"no {lacking[0]} in it")
    order = texts[TABLES[0]].split()
    words = dict(line.split("\t", 1) for line in texts[TABLES[1]].splitlines() if "\t" in line)
    found = [words.get(number, number).split(",")[0].strip() for number in order]
    # Two classes have a name in common with another one.
    names = tuple(
        name if found.count(name) == 1 else f"{name} ({number})" for name, number in zip(found, order, strict=True)
    )
    tested = {row[0]: row[1] for row in (line.split("\t") for line in texts[TABLES[2]].splitlines()) if len(row) > 1}
    return {number: label for label, number in enumerate(order)}, names, tested


def _table(path: PurePosixPath) -> str | None:
    return next((table for table in TABLES if path.as_posix().removeprefix(f"{FOLDER}/") == table), None)


def _picture(path: PurePosixPath) -> tuple[str, str] | None:
    """Return the part and, of training images, the number of the class; None for other files."""
    parts = path.parts[path.parts[0] == FOLDER :]
    if path.suffix != ".JPEG" or len(parts) < 3 or parts[0] not in ("train", "val"):
        return None
    return parts[0], parts[1]
