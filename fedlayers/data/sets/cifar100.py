"""CIFAR-100 in its binary distribution, with fine or coarse labels."""

from collections.abc import Sequence
from pathlib import Path

from fedlayers.core.checks import check
from fedlayers.data.download import Download, fetch
from fedlayers.data.sets.cifar10 import images_of, read_images
from fedlayers.data.source import Arrays

_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark
shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
_COARSE = """
aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices household_furniture
insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores
medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
"""
CLASSES = {"fine": tuple(_NAMES.split()), "coarse": tuple(_COARSE.split())}


class Cifar100:
    """Colour images of 32×32 pixels: a training file and a test file with any number of examples each.

    An example begins with two labels, one of 20 coarse classes and one of 100 fine ones. The binary distribution, not
    the Python one, because that is made of pickles.

    Args:
        labels: ``fine`` or ``coarse``.

    Raises:
        UserError: if it is neither.

    References:
        Krizhevsky 2009, Learning multiple layers of features from tiny images.
    """

    def __init__(self, labels: str = "fine") -> None:
        check(labels in CLASSES, "dataset.labels", "fine (100 classes) or coarse (20)", labels)
        self.labels, self.classes = labels, CLASSES[labels]

    def files(self, root: Path) -> Sequence[Path]:
        """Return the two files; those that are missing are downloaded."""
        folder = "cifar-100-binary"
        members = (f"{folder}/train.bin", f"{folder}/test.bin")
        url, md5 = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"
        return fetch("CIFAR100", [Download(url, folder, md5, members)], root)

    def read(self, root: Path) -> Arrays:
        """Return all images, shape (n, 3, 32, 32), training images first."""
        mean, std = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
        place = 0 if self.labels == "coarse" else 1
        parts = [read_images(path, len(self.classes), labels=2, place=place) for path in self.files(root)]
        return images_of(parts, self.classes, mean, std)
