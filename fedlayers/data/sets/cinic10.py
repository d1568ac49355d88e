"""CINIC-10: CIFAR-10's classes with images of ImageNet beside CIFAR's own."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from fedlayers.data.download import Download, fetch
from fedlayers.data.formats.picture_folders import contents, image
from fedlayers.data.sets.cifar10 import CLASSES
from fedlayers.data.source import Arrays, DatasetFacts, damaged

PARTS = ("train", "valid", "test")


class Cinic10:
    """270,000 colour images of 32×32 pixels, a third each for training, validation and testing.

    They are read from a folder ``CINIC-10`` with ``train``, ``valid`` and ``test``, a folder for each class in them, or
    else from the archive itself, which is not unpacked. The authors' validation images are training examples here, as
    they suggest: what validates is each client's own share. Of a folder, what was prepared is made again when files
    come or go, not when one is changed in place.

    References:
        Darlow, Crowley, Antoniou & Storkey 2018, CINIC-10 is not ImageNet or CIFAR-10, arXiv 1810.03505.
    """

    def files(self, root: Path) -> Sequence[Path]:
        """Return the folders of the classes if they are there, else the archive, downloaded if it is missing."""
        folder = root / "CINIC-10"
        if (folder / PARTS[0]).is_dir():
            return [folder / part / name for part in PARTS for name in CLASSES if (folder / part / name).is_dir()]
        url, md5 = (
            "https://datashare.ed.ac.uk/bitstream/handle/10283/3192/CINIC-10.tar.gz",
            "6ee4d0c996905fe93221de577967a372",
        )
        return fetch("CINIC10", [Download(url, "CINIC-10", md5)], root)

    def read(self, root: Path) -> Arrays:
        """Return all images, shape (n, 3, 32, 32), those for testing last."""
        files = self.files(root)
        if not files:
            raise damaged(root / "CINIC-10", "no folder of a class in it")
        place = files[0] if files[0].is_file() else root / "CINIC-10"
        found = sorted(contents(place, _wanted), key=lambda entry: (entry[1][0] == "test", entry[0]))
        count = sum(kind[0] == "test" for _, kind, _ in found)
        if not 0 < count < len(found):
            raise damaged(place, f"{len(found) - count} images for training and {count} for testing")
        images = np.stack([image(content, 32, place, name) for name, _, content in found])
        labels = np.array([kind[1] for _, kind, _ in found])
        mean, std = (0.47889522, 0.47227842, 0.43047404), (0.24205776, 0.23828046, 0.25874835)
        facts = DatasetFacts(
            CLASSES, count, mean=tuple(255 * value for value in mean), std=tuple(255 * value for value in std)
        )
        return Arrays(images, labels, facts)


def _wanted(path: PurePosixPath) -> tuple[str, int] | None:
    """Return the part and the label of a picture; None for other files."""
    parts = path.parts[-3:]
    if len(parts) < 3 or parts[0] not in PARTS or parts[1] not in CLASSES or path.suffix != ".png":
        return None
    return parts[0], CLASSES.index(parts[1])
