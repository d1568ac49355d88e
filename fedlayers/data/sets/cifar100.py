"""CIFAR-100 in its binary distribution, with fine labels."""

from collections.abc import Sequence
from pathlib import Path

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
CLASSES = tuple(_NAMES.split())


class Cifar100:
    """Colour images of 32×32 pixels: a training file and a test file with any number of examples each.

    An example begins with two labels, one of 20 coarse classes, which is not used, and one of 100 fine ones. The binary
    distribution, not the Python one, because that is made of pickles.

    References:
        Krizhevsky 2009, Learning multiple layers of features from tiny images.
    """

    def files(self, root: Path) -> Sequence[Path]:
        """Return the two files; those that are missing are downloaded."""
        folder = "cifar-100-binary"
        members = (f"{folder}/train.bin", f"{folder}/test.bin")
        url, md5 = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"
        return fetch("CIFAR100", [Download(url, folder, md5, members)], root)

    def read(self, root: Path) -> Arrays:
        """Return all images, shape (n, 3, 32, 32), training images first."""
        mean, std = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
        parts = [read_images(path, len(CLASSES), other_labels=1) for path in self.files(root)]
        return images_of(parts, CLASSES, mean, std)
