"""The MNIST family: MNIST, Fashion-MNIST, Kuzushiji-MNIST and EMNIST, in torchvision's folder layout."""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedlayers.core.checks import check
from fedlayers.data.download import Download, fetch
from fedlayers.data.sets.idx import read_idx
from fedlayers.data.source import Arrays, DatasetFacts, damaged

PLAIN_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


@dataclass(frozen=True)
class IdxImages:
    """Grey images from four IDX files: training images and labels, test images and labels.

    Attributes:
        name: what error messages call it.
        downloads: where the four files come from, in that order.
        classes: class names, in the order of the labels.
        mean, std: of the training pixels, in [0, 1].
        transposed: whether the files hold the images with rows and columns swapped.
        no_groups: a sentence that says why there are no natural groups.
    """

    name: str
    downloads: tuple[Download, ...]
    classes: tuple[str, ...]
    mean: float
    std: float
    transposed: bool = False
    no_groups: str = ""

    def files(self, root: Path) -> Sequence[Path]:
        """Return the four files; those that are missing are downloaded."""
        return fetch(self.name, self.downloads, root)

    def read(self, root: Path) -> Arrays:
        """Return all images, shape (n, 1, h, w), training images first."""
        train_images, train_labels, test_images, test_labels = self.files(root)
        parts = [self._part(train_images, train_labels), self._part(test_images, test_labels)]
        facts = DatasetFacts(
            self.classes,
            num_test=len(parts[1][1]),
            mean=(255 * self.mean,),
            std=(255 * self.std,),
            no_groups=self.no_groups,
        )
        sizes = [images.shape[1:] for images, _ in parts]
        if sizes[0] != sizes[1]:
            raise damaged(test_images, f"images of {sizes[1]} pixels where those for training have {sizes[0]}")
        features, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return Arrays(features[:, None], labels.astype(np.int64), facts)

    def _part(self, images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
        images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
        if len(images) != len(labels):
            raise damaged(labels_path, f"{len(labels)} labels for {len(images)} images")
        if len(labels) and labels.max() >= len(self.classes):
            raise damaged(labels_path, f"label {labels.max()} where there are {len(self.classes)} classes")
        return (images.transpose(0, 2, 1) if self.transposed else images), labels


def mnist() -> IdxImages:
    """Return MNIST: handwritten digits (LeCun et al. 1998, doi:10.1109/5.726791)."""
    md5s = (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    )
    downloads = _four("https://ossci-datasets.s3.amazonaws.com/mnist/", "MNIST", md5s)
    return IdxImages("MNIST", downloads, tuple(string.digits), 0.1307, 0.3081)


def fashion_mnist() -> IdxImages:
    """Return Fashion-MNIST: articles of clothing (Xiao et al. 2017, arXiv:1708.07747)."""
    md5s = (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    )
    downloads = _four("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", "FashionMNIST", md5s)
    classes = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
    return IdxImages("FMNIST", downloads, tuple(classes.split(",")), 0.2860, 0.3530)


def kmnist() -> IdxImages:
    """Return Kuzushiji-MNIST: old Japanese characters (Clanuwat et al. 2018, arXiv:1812.01718)."""
    md5s = (
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    )
    downloads = _four("http://codh.rois.ac.jp/kmnist/dataset/kmnist/", "KMNIST", md5s)
    return IdxImages("KMNIST", downloads, ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"), 0.1918, 0.3483)


def emnist(split: str = "byclass") -> IdxImages:
    """Return EMNIST: handwritten digits and letters (Cohen et al. 2017, arXiv:1702.05373).

    The files hold the images transposed; here they are upright, like MNIST's.

    Args:
        split: ``byclass`` (62 classes, unbalanced) or ``balanced`` (47 classes: lower-case letters that look like
            their capitals are merged with them).

    Raises:
        UserError: if ``split`` is another.
    """
    check(split in ("byclass", "balanced"), "dataset.split", "byclass or balanced", split)
    parts = [f"{part}-{kind}" for part in ("train", "test") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    members = tuple(f"gzip/emnist-{split}-{part}.gz" for part in parts)
    url, md5 = "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e"
    lower = string.ascii_lowercase if split == "byclass" else "abdefghnqrt"
    classes = tuple(string.digits + string.ascii_uppercase + lower)
    why = "the IDX files of EMNIST name no writers"
    return IdxImages("EMNIST", (Download(url, "EMNIST/raw", md5, members),), classes, 0.1736, 0.3317, True, why)


def _four(address: str, folder: str, md5s: Sequence[str]) -> tuple[Download, ...]:
    return tuple(Download(address + file, f"{folder}/raw", md5) for file, md5 in zip(PLAIN_FILES, md5s, strict=True))
