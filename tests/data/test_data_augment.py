"""Augmentation: what each step may do to an image, and that only the given generator decides."""

import pytest
import torch
from torch import Tensor

from fedlayers.core.errors import UserError
from fedlayers.data.augment import Augmentation, make_augmentation

STEPS = ["crop", "flip", "rotation"]


def made(*names: str) -> Augmentation:
    augment = make_augmentation(names)
    assert augment is not None
    return augment


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 32, channels: int = 3, height: int = 28, width: int = 28) -> Tensor:
    return torch.randn(count, channels, height, width, generator=generator(99))


@pytest.mark.parametrize("names", [*([name] for name in STEPS), STEPS], ids="+".join)
@pytest.mark.parametrize("size", [(3, 28, 28), (1, 8, 8), (3, 32, 20)], ids=str)
def test_shape_range_and_input_are_kept(names: list[str], size: tuple[int, int, int]) -> None:
    batch = images(16, *size)
    before = batch.clone()
    changed = made(*names)(batch, generator())
    assert changed.shape == batch.shape and changed.dtype == batch.dtype
    assert torch.equal(batch, before)
    assert not torch.equal(changed, batch)
    assert changed.min() >= batch.min() - 1e-5 and changed.max() <= batch.max() + 1e-5


@pytest.mark.parametrize("name", STEPS)
def test_only_the_given_generator_decides(name: str) -> None:
    batch = images()
    first = made(name)(batch, generator(5))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert torch.equal(made(name)(batch, generator(5)), first)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"
    assert not torch.equal(made(name)(batch, generator(6)), first)


@pytest.mark.parametrize("name", STEPS)
def test_constant_images_stay_constant(name: str) -> None:
    batch = torch.full((8, 1, 28, 28), -0.8)
    torch.testing.assert_close(made(name)(batch, generator()), batch)


def test_flip_mirrors_about_half_of_the_images() -> None:
    batch = images(1_000, 1, 4, 5)
    changed = made("flip")(batch, generator())
    mirrored = torch.tensor([torch.equal(new, old.flip(-1)) for new, old in zip(changed, batch, strict=True)])
    kept = torch.tensor([torch.equal(new, old) for new, old in zip(changed, batch, strict=True)])
    assert bool((mirrored ^ kept).all())
    assert abs(int(mirrored.sum()) - 500) < 5 * 250**0.5


@pytest.mark.parametrize(("height", "reach"), [(28, 4), (32, 4), (14, 2), (8, 1), (4, 1)])
def test_crop_moves_by_every_step_within_reach(height: int, reach: int) -> None:
    rows = torch.arange(height * height, dtype=torch.float32).reshape(1, 1, height, height).repeat(600, 1, 1, 1)
    changed = made("crop")(rows, generator())
    middle = height // 2
    value = changed[:, 0, middle, middle].long()
    down, right = value // height - middle, value % height - middle
    assert set(down.tolist()) == set(right.tolist()) == set(range(-reach, reach + 1))
    assert len({tuple(pair) for pair in zip(down.tolist(), right.tolist(), strict=True)}) > 2 * reach + 1


def test_crop_is_padding_and_cutting() -> None:
    batch = images(64)
    changed = made("crop")(batch, generator())
    padded = torch.nn.functional.pad(batch, (4, 4, 4, 4), mode="replicate")
    for number, image in enumerate(changed):
        windows = padded[number].unfold(1, 28, 1).unfold(2, 28, 1)  # (c, 9, 9, 28, 28)
        assert bool((windows == image[:, None, None]).all(dim=(0, 3, 4)).any())


@pytest.mark.parametrize(("height", "width"), [(41, 41), (61, 31)])
def test_rotation_turns_by_at_most_ten_degrees_about_the_centre(height: int, width: int) -> None:
    y, x = torch.meshgrid(torch.arange(height) - height // 2, torch.arange(width) - width // 2, indexing="ij")
    # Linear in x and y, so that bilinear interpolation is exact away from the edge.
    batch = torch.stack([x, y]).float().expand(300, 2, height, width)
    changed = made("rotation")(batch, generator())
    inner = 8
    top, left = height // 2 - inner, width // 2 - inner
    window = changed[:, :, top : top + 2 * inner + 1, left : left + 2 * inner + 1]
    old = batch[:, :, top : top + 2 * inner + 1, left : left + 2 * inner + 1]
    angle = torch.atan2(window[:, 1, inner, -1], window[:, 0, inner, -1])
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    turned = torch.stack([cos * old[:, 0] - sin * old[:, 1], sin * old[:, 0] + cos * old[:, 1]], 1)
    torch.testing.assert_close(window, turned, atol=2e-4, rtol=0)
    degrees = torch.rad2deg(angle)
    assert degrees.abs().max() <= 10 and degrees.max() > 9 and degrees.min() < -9


def test_steps_are_applied_in_the_order_given() -> None:
    batch = images()
    stream = generator(3)
    by_hand = made("flip")(made("crop")(batch, stream), stream)
    assert torch.equal(made("crop", "flip")(batch, generator(3)), by_hand)


def test_nothing_to_do_is_no_function() -> None:
    assert make_augmentation([]) is None


def test_unknown_steps_are_refused() -> None:
    with pytest.raises(UserError, match=r"training.augment must be some of crop, flip, rotation, got 'blur'"):
        make_augmentation(["flip", "blur"])


@pytest.mark.parametrize("shape", [(4, 10), (4, 28, 28)])
def test_examples_that_are_no_images_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"training.augment must be \[\] unless examples are images \(c, h, w\), got"):
        made("flip")(torch.zeros(shape), generator())
