"""MedMNIST: small medical images, twelve data sets of one form."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedlayers.core.checks import check
from fedlayers.data.download import Download, fetch
from fedlayers.data.source import Arrays, DatasetFacts, damaged

ADDRESS = "https://zenodo.org/record/6496656/files/"
_ORGANS = (
    "bladder", "femur-left", "femur-right", "heart", "kidney-left", "kidney-right", "liver", "lung-left", "lung-right",
    "pancreas", "spleen",
)  # fmt: skip


@dataclass(frozen=True)
class _Known:
    """What is published of one of them: the file's MD5 and the classes."""

    md5: str
    classes: tuple[str, ...]


SETS = {
    "pathmnist": _Known(
        "a8b06965200029087d5bd730944a56c1",
        (
            "adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle", "normal colon mucosa",
            "cancer-associated stroma", "colorectal adenocarcinoma epithelium",
        ),
    ),
    "chestmnist": _Known(
        "02c8a6516a18b556561a56cbdd36c4a8",
        (
            "atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia", "pneumothorax",
            "consolidation", "edema", "emphysema", "fibrosis", "pleural", "hernia",
        ),
    ),
    "dermamnist": _Known(
        "0744692d530f8e62ec473284d019b0c7",
        (
            "actinic keratoses and intraepithelial carcinoma", "basal cell carcinoma", "benign keratosis-like lesions",
            "dermatofibroma", "melanoma", "melanocytic nevi", "vascular lesions",
        ),
    ),
    "octmnist": _Known(
        "c68d92d5b585d8d81f7112f81e2d0842",
        ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
    ),
    "pneumoniamnist": _Known("28209eda62fecd6e6a2d98b1501bb15f", ("normal", "pneumonia")),
    "retinamnist": _Known("bd4c0672f1bba3e3a89f0e4e876791e4", ("0", "1", "2", "3", "4")),
    "breastmnist": _Known("750601b1f35ba3300ea97c75c52ff8f6", ("malignant", "normal, benign")),
    "bloodmnist": _Known(
        "7053d0359d879ad8a5505303e11de1dc",
        (
            "basophil", "eosinophil", "erythroblast", "immature granulocytes", "lymphocyte", "monocyte", "neutrophil",
            "platelet",
        ),
    ),
    "tissuemnist": _Known(
        "ebe78ee8b05294063de985d821c1c34b",
        (
            "collecting duct, connecting tubule", "distal convoluted tubule", "glomerular endothelial cells",
            "interstitial endothelial cells", "leukocytes", "podocytes", "proximal tubule segments",
            "thick ascending limb",
        ),
    ),
    "organamnist": _Known("866b832ed4eeba67bfb9edee1d5544e6", _ORGANS),
    "organcmnist": _Known("0afa5834fb105f7705a7d93372119a21", _ORGANS),
    "organsmnist": _Known("e5c39f1af030238290b9557d9503af9d", _ORGANS),
}  # fmt: skip


class MedMnist:
    """Images of 28×28 pixels, grey or coloured; ``chestmnist`` has label sets, of which several labels may hold.

    The authors' validation images are training examples here: what validates is each client's own share of those.

    Args:
        flavour: one of the twelve 2-D sets, such as ``pathmnist``.

    Raises:
        UserError: there is no such set.

    References:
        Yang, Shi, Wei et al. 2023, MedMNIST v2, Scientific Data 10, doi:10.1038/s41597-022-01721-8.
    """

    def __init__(self, flavour: str = "pathmnist") -> None:
        check(flavour in SETS, "dataset.flavour", "one of " + ", ".join(SETS), flavour)
        self.flavour, self.known = flavour, SETS[flavour]

    def files(self, root: Path) -> Sequence[Path]:
        """Return the file; it is downloaded if it is missing."""
        return fetch("MedMNIST", [Download(f"{ADDRESS}{self.flavour}.npz", "medmnist", self.known.md5)], root)

    def read(self, root: Path) -> Arrays:
        """Return all images, shape (n, 1 or 3, 28, 28), those for testing last."""
        (path,) = self.files(root)
        parts = [_part(path, part) for part in ("train", "val", "test")]
        if len({(images.shape[1:], labels.shape[1]) for images, labels in parts}) > 1:
            raise damaged(path, "images or labels for training, validation and testing are of different shapes")
        images = np.concatenate([images for images, _ in parts])
        labels = np.concatenate([labels for _, labels in parts])
        classes, sets = self.known.classes, self.flavour == "chestmnist"
        least, most, kinds = labels.min(), labels.max(), 2 if sets else len(classes)
        if labels.shape[1] != (len(classes) if sets else 1) or least < 0 or most >= kinds:
            raise damaged(
                path, f"labels from {least} to {most} of shape {labels.shape}, where it has {len(classes)} classes"
            )
        channels = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        facts = DatasetFacts(classes, num_test=len(parts[-1][1]))
        return Arrays(channels, labels if sets else labels[:, 0], facts)


def _part(path: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 28, 28) or (n, 28, 28, 3) and labels (n, k) of one part of a file."""
    try:
        with np.load(path, allow_pickle=False) as content:
            images, labels = content[f"{part}_images"], content[f"{part}_labels"].astype(np.int64)
    except Exception as error:  # NumPy's reader of archives raises whatever its parts do
        raise damaged(path, f"{type(error).__name__}: {error}") from error
    right = images.dtype == np.uint8 and images.shape[1:] in ((28, 28), (28, 28, 3))
    if not right or labels.ndim != 2 or len(labels) != len(images) or not len(images):
        raise damaged(path, f"{part} images are {images.dtype} of shape {images.shape}, labels of shape {labels.shape}")
    return images, labels
