"""ISIC 2019: pictures of skin lesions by the centre that took them, in the form of FLamby's Fed-ISIC2019."""

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from fedlayers.core.checks import check
from fedlayers.core.errors import UserError
from fedlayers.data.by_hand import by_hand
from fedlayers.data.formats.picture_folders import image
from fedlayers.data.source import Arrays, DatasetFacts, damaged

CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")
CENTRES = ("BCN", "vidir_molemax", "vidir_modern", "rosendahl", "msk4", "vienna_dias")
PICTURES = "ISIC_2019_Training_Input_preprocessed"
PAGE = "https://github.com/owkin/FLamby (fed_isic2019)"


class Isic2019:
    """Colour pictures of skin lesions, every centre a natural group; no official test set.

    The files are those that FLamby's scripts leave, in ``isic2019``: the table ``train_test_split``, comma-separated
    with columns ``image``, ``target`` and ``center``, and the pictures ``<image>.jpg`` in
    ``ISIC_2019_Training_Input_preprocessed``. Its division into training and test pictures is not used, because every
    client has shares of its own.

    Args:
        classes: some of the eight diagnoses, in the order of the labels; null for all. PLayer-FL takes BCC, BKL, MEL
            and NV.
        centres: numbers of the centres, 0 to 5; null for all. PLayer-FL takes four of the six.
        per_centre: at most so many pictures of a centre, the first ones of the table, 1 or more; null for all.
        side: pixels of a side to which pictures are resized.

    References:
        Ogier du Terrail et al. 2022, FLamby, NeurIPS, arXiv 2210.04620; Tschandl, Rosendahl & Kittler 2018, HAM10000,
        Scientific Data 5; Codella et al. 2017, arXiv 1710.05006; Combalia et al. 2019, BCN20000, arXiv 1908.02288.
    """

    def __init__(
        self,
        classes: Sequence[str] | None = None,
        centres: Sequence[int] | None = None,
        per_centre: int | None = None,
        side: int = 200,
    ) -> None:
        self.classes = tuple(CLASSES if classes is None else classes)
        right = len({*self.classes}) == len(self.classes) > 1 and set(self.classes) <= set(CLASSES)
        check(right, "dataset.classes", "two or more of " + ", ".join(CLASSES), list(self.classes))
        self.centres = list(range(len(CENTRES))) if centres is None else list(centres)
        right = len({*self.centres}) == len(self.centres) > 0 and set(self.centres) <= set(range(len(CENTRES)))
        check(right, "dataset.centres", "different numbers from 0 to 5", self.centres)
        check(per_centre is None or per_centre >= 1, "dataset.per_centre", "1 or more, or null for all", per_centre)
        check(side >= 1, "dataset.side", "1 or more", side)
        self.per_centre, self.side = per_centre, side

    def files(self, root: Path) -> Sequence[Path]:
        """Return the table and the folder of pictures."""
        how = (
            "after agreeing to the licences run its download and resize scripts and copy what they leave to isic2019; "
        )
        (table,) = by_hand("ISIC", root, ["isic2019/train_test_split"], PAGE, how + "23,247 pictures have a row each")
        pictures = root / "isic2019" / PICTURES
        if not pictures.is_dir():
            raise UserError(
                f"data_dir must name a folder that has isic2019/{PICTURES}, got {root} without; get the pictures from "
                f"{PAGE}: run its download and resize scripts"
            )
        return [table, pictures]

    def read(self, root: Path) -> Arrays:
        """Return the chosen pictures, shape (n, 3, side, side), centre after centre."""
        table, pictures = self.files(root)
        rows = _rows(table)
        chosen = []
        for place, centre in enumerate(self.centres):
            own = [row for row in rows if row[2] == centre and CLASSES[row[1]] in self.classes][: self.per_centre]
            chosen += [(name, self.classes.index(CLASSES[target]), place) for name, target, _ in own]
        if not chosen:
            raise damaged(table, "it has no picture of these classes and centres")
        images = np.stack([self._picture(pictures, name) for name, _, _ in chosen])
        labels, groups = (np.array([row[k] for row in chosen]) for k in (1, 2))
        names = tuple(CENTRES[centre] for centre in self.centres)
        return Arrays(images, labels, DatasetFacts(self.classes, group_names=names), groups)

    def _picture(self, folder: Path, name: str) -> np.ndarray:
        file = PurePosixPath(f"{name}.jpg")
        try:
            content = (folder / file).read_bytes()
        except FileNotFoundError as error:
            raise damaged(folder, f"{file}, which the table names, is not there") from error
        return image(content, self.side, folder, file, resize=True)


def _rows(table: Path) -> list[tuple[str, int, int]]:
    """Return name, diagnosis and centre of every picture."""
    try:
        with table.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            if not {"image", "target", "center"} <= set(reader.fieldnames or ()):
                raise damaged(table, "its first line does not name columns image, target and center")
            rows = [(row["image"], row["target"], row["center"]) for row in reader]
    except (ValueError, csv.Error) as error:
        raise damaged(table, f"no table of texts: {error}") from error
    numbers = {str(k): k for k in range(len(CLASSES))}
    for line, (_, target, centre) in enumerate(rows, 2):
        if target not in numbers or centre not in list(numbers)[: len(CENTRES)]:
            raise damaged(
                table, f"line {line} has target {target} and center {centre}, where 0 to 7 and 0 to 5 are known"
            )
    return [(name, numbers[target], numbers[centre]) for name, target, centre in rows]
