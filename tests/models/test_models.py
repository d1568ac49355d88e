"""Networks: sizes against published or hand-counted ones, equal seeds, and mistakes told in a sentence."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from fedlayers.core.errors import UserError
from fedlayers.core.kinds.tokens import blank
from fedlayers.core.layers import layers_of, total
from fedlayers.core.stages import readouts_of
from fedlayers.models import build_model
from fedlayers.models.mlp import MLP
from fedlayers.models.pooling import MaxPool2d
from fedlayers.models.resnet18 import ResNet18

FOLDER = Path(__file__).parents[2] / "conf" / "model"
FILES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
GREY, COLOUR, DIGITS, ROW = (1, 28, 28), (3, 32, 32), (1, 8, 8), (13,)


def options(name: str, **changes: Any) -> dict[str, Any]:
    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    # A model may choose its learner.
    content.pop("defaults", None)
    return {**content, **changes}


# All but the option whose class the user names.
BUILT_IN = [name for name in FILES if options(name)["_target_"] != "???"]

TEXT = ("token_attention", "playerfl_text")


def made(name: str, classes: int) -> tuple[nn.Module, Tensor]:
    """Return a network of one of the options and an example that it takes."""
    shape = {"playerfl_heart": ROW, **dict.fromkeys(TEXT, (6,))}.get(name, COLOUR)
    words = 30 if name in TEXT else 0
    return build_model(options(name), shape, classes, 0, words), blank(1, shape, words > 0)


def sizes(network: nn.Module) -> dict[str, int]:
    return {layer.name: total([layer]) for layer in layers_of(network)}


class OneOutput(nn.Module):
    """Gives one number an example, whatever the classes; takes no sizes."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1)


class Texts(nn.Module):
    """Gives something that is no tensor."""

    def forward(self, x: Tensor) -> list[str]:
        return ["no", "tensor"]


def lazy(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))


def no_module(num_classes: int) -> int:
    return num_classes


def broken(num_classes: int) -> nn.Module:
    raise RuntimeError(f"cannot make {num_classes}")


def test_every_option_is_there_and_named_as_its_file() -> None:
    assert set(FILES) >= {
        "mlp",
        "cnn",
        "playerfl_fmnist",
        "playerfl_cifar10",
        "playerfl_heart",
        "resnet18_gn",
        "resnet18_bn",
    }
    assert all(options(name)["name"] == name for name in FILES)


@pytest.mark.parametrize("name", BUILT_IN)
def test_options_spell_out_the_defaults_of_the_code(name: str) -> None:
    network, example = made(name, 7)
    bare = {key: value for key, value in options(name).items() if key in ("name", "_target_", "norm")}
    words = 30 if name in TEXT else 0
    assert sizes(network) == sizes(build_model(bare, tuple(example.shape[1:]), 7, 0, words))


@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [
        ("mlp", GREY, 784 * 200 + 200 + 200 * 10 + 10),
        ("cnn", GREY, 114_314),
        ("cnn", COLOUR, 145_834),
        ("cnn", DIGITS, 416 + 12_832 + 128 * 64 + 64 + 650),
        ("playerfl_fmnist", GREY, 1_664 + 204_928 + 819_456 + 25_700 + 1_010),
        ("playerfl_cifar10", COLOUR, 1_792 + 73_856 + 295_168 + 1_180_160 + 2_359_808 + 51_300 + 1_010),
        ("playerfl_isic", COLOUR, 896 + 18_496 + 73_856 + 295_168 + 1_180_160 + 131_328 + 2_570),
        # Known from the reference implementations: 11,173,962 for CIFAR-10.
        ("resnet18_gn", COLOUR, 11_173_962),
        ("resnet18_bn", COLOUR, 11_173_962),
    ],
)
def test_sizes(name: str, shape: tuple[int, ...], count: int) -> None:
    network = build_model(options(name), shape, 10, seed=0)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_resnet_on_large_images_has_the_published_size() -> None:
    network = ResNet18((3, 224, 224), 1000, norm="batch")
    assert sum(parameter.numel() for parameter in network.parameters()) == 11_689_512


def test_heart_network_has_the_papers_sizes() -> None:
    network = build_model(options("playerfl_heart"), (10,), 5, seed=0)
    assert sizes(network) == {"fc1": 550, "fc2": 1020, "fc3": 420, "fc4": 105}


def test_playerfl_layers_have_the_papers_names() -> None:
    assert list(sizes(build_model(options("playerfl_fmnist"), GREY, 10, 0))) == [
        "conv1",
        "conv2",
        "conv3",
        "fc1",
        "fc2",
    ]
    cifar = build_model(options("playerfl_cifar10"), COLOUR, 10, 0)
    assert list(sizes(cifar)) == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc1", "fc2"]


def test_playerfl_is_kaiming_initialised() -> None:
    network = build_model(options("playerfl_cifar10"), COLOUR, 10, seed=1)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            assert parameter.abs().max() == 0
        elif parameter.numel() > 10_000:
            fan_in = parameter[0].numel()
            assert parameter.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)


@pytest.mark.parametrize("name", BUILT_IN)
def test_layers_follow_the_forward_pass(name: str) -> None:
    network, example = made(name, 10)
    # Attention applies its output projection without calling it.
    names = [layer.name for layer in layers_of(network) if not layer.name.endswith("attention.out_proj")]
    called: list[str] = []
    for path in names:
        network.get_submodule(path).register_forward_hook(lambda *_, path=path: called.append(path))
    network(example)
    # What answers from a stage other than the last is not part of it.
    beside = list(readouts_of(network) or ())[:-1]
    readouts = {path for path, part in network.named_modules() if any(part is one for one in beside)}
    assert called == [path for path in names if path not in readouts]


@pytest.mark.parametrize("name", ["mlp", "cnn", "playerfl_fmnist", "playerfl_cifar10", "resnet18_gn", "resnet18_bn"])
@pytest.mark.parametrize("shape", [DIGITS, GREY])
def test_image_networks_take_small_images(name: str, shape: tuple[int, ...]) -> None:
    small = {"width": 32} if "resnet" in name else {}
    assert build_model(options(name, **small), shape, 3, 0)(torch.randn(4, *shape)).shape == (4, 3)


def test_resnet_stem_shrinks_only_large_images() -> None:
    small, large = (ResNet18((1, side, side), 2, width=8, groups=4) for side in (64, 65))
    assert small.conv1(torch.zeros(1, 1, 64, 64)).shape[-1] == 64
    assert large.pool(large.conv1(torch.zeros(1, 1, 65, 65))).shape[-1] == 17


def test_group_norm_has_no_buffers_and_batch_norm_has() -> None:
    assert not list(ResNet18(COLOUR, 2, norm="group").buffers())
    assert len(list(ResNet18(COLOUR, 2, norm="batch").buffers())) == 3 * 20


def test_mlp_shapes_widths_and_dropout() -> None:
    assert [type(step).__name__ for step in MLP((2, 3), 4, hidden=[5], dropout=0.5)] == [
        "Flatten",
        "Linear",
        "ReLU",
        "Dropout",
        "Linear",
    ]
    assert sizes(MLP((2, 3), 4, hidden=[])) == {"fc1": 28}


def test_equal_seeds_give_equal_weights_and_leave_the_global_state() -> None:
    torch.manual_seed(7)
    np.random.seed(7)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(7)
    np.random.seed(7)
    first, again, other = (build_model(options("cnn"), GREY, 10, seed) for seed in (1, 1, 2))
    assert (torch.rand(1), np.random.rand()) == expected
    assert torch.equal(first.get_parameter("conv1.weight"), again.get_parameter("conv1.weight"))
    assert not torch.equal(first.get_parameter("conv1.weight"), other.get_parameter("conv1.weight"))
    assert not first.training


@pytest.mark.parametrize("target", [f"{__name__}.lazy", "torch.nn.Sequential"])
def test_any_module_and_any_function_that_gives_one(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedlayers.models.build.lazy", lazy, raising=False)
    if "Sequential" in target:
        layers = [
            {"_target_": "torch.nn.Flatten"},
            {"_target_": "torch.nn.Linear", "in_features": 13, "out_features": 3},
        ]
        model: dict[str, Any] = {"name": "own", "_target_": target, "_args_": layers}
    else:
        model = {"name": "own", "_target_": "fedlayers.models.build.lazy"}
    network = build_model(model, ROW, 3, 0)
    assert sum(parameter.numel() for parameter in network.parameters()) == 42
    twin = build_model(model, ROW, 3, 0)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), twin.parameters(), strict=True))


@pytest.mark.parametrize(
    ("model", "shape", "sentence"),
    [
        ({}, GREY, r"model\._target_ is missing: give the class or function"),
        ({"_target_": "no.such.Net"}, GREY, r"model\._target_=no\.such\.Net: there is no module no;"),
        ({"_target_": "torch.pi"}, GREY, r"model\._target_=torch\.pi: torch has no class or function pi"),
        ({"_target_": "builtins.dict"}, GREY,
         r"model\._target_ must be something that gives a torch module, got builtins\.dict, which is a dict"),
        ({"_target_": "{here}.no_module"}, GREY, r"gives a torch module, got .*no_module, which gives a int"),
        ({"_target_": "{here}.broken"}, GREY, r"model cannot be built from .*broken: .*cannot make 10"),
        (options("mlp", hiden=[3]), GREY, r"model\.hiden: MLP has no argument 'hiden'; did you mean model\.hidden\?"),
        (options("mlp", hidden=[0]), GREY, r"model\.hidden must be a list of widths of 1 or more, got \[0\]"),
        (options("mlp", hidden=["a"]), GREY, r"model\.hidden must be a list, such as \[a,b\], got \['a'\]"),
        (options("mlp", dropout=1.0), GREY, r"model\.dropout must be in \[0, 1\), got 1\.0"),
        (options("cnn"), ROW, r"model=cnn: the shape of an example must be .* got \(13,\); choose"),
        (options("cnn"), (1, 3, 8), r"4 pixels or more a side, got \(1, 3, 8\)"),
        (options("cnn", channels=[4]), GREY, r"model\.channels must be two numbers of 1 or more, got \[4\]"),
        (options("cnn", kernel_size=4), GREY, r"model\.kernel_size must be odd and positive, got 4"),
        (options("cnn", hidden=0), GREY, r"model\.hidden must be 1 or more, got 0"),
        (options("playerfl_fmnist", channels=[]), GREY, r"model\.channels must be a list .* got \[\]"),
        (options("playerfl_fmnist", hidden=0), GREY, r"model\.hidden must be 1 or more, got 0"),
        (options("playerfl_fmnist"), ROW, r"model=playerfl_fmnist: the shape of an example .* got \(13,\)"),
        (options("playerfl_cifar10", channels=[0]), COLOUR, r"model\.channels must be a list .* got \[0\]"),
        (options("playerfl_cifar10", hidden=0), COLOUR, r"model\.hidden must be 1 or more, got 0"),
        (options("playerfl_cifar10", dropout=-1), COLOUR, r"model\.dropout must be in \[0, 1\), got -1"),
        (options("resnet18_gn", norm="layer"), COLOUR, r"model\.norm must be group or batch, got 'layer'"),
        (options("resnet18_gn", groups=0), COLOUR, r"model\.groups must be 1 or more, got 0"),
        (options("resnet18_gn", width=48), COLOUR, r"model\.width must be a positive multiple of 32, got 48"),
        (options("resnet18_bn"), ROW, r"model=resnet18_bn: the shape of an example .* got \(13,\)"),
        ({"_target_": "torch.nn.Linear", "in_features": 4, "out_features": 10}, (5,),
         r"model must take examples of shape \(5,\), got an error from Linear: RuntimeError: mat1"),
        ({"_target_": "torch.nn.Linear", "in_features": 5, "out_features": 4}, (5,), r".* got \(2, 4\); set"),
        ({"_target_": "{here}.OneOutput"}, GREY, r"logits of shape \(2, 10\), got \(2,\)"),
        ({"_target_": "{here}.Texts"}, GREY, r"logits of shape \(2, 10\), got 'list'"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_sentence(
    model: dict[str, Any], shape: tuple[int, ...], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in (no_module, broken, OneOutput, Texts):
        monkeypatch.setattr(f"fedlayers.models.build.{part.__name__}", part, raising=False)
    target = {"_target_": model["_target_"].replace("{here}", "fedlayers.models.build")} if model else {}
    with pytest.raises(UserError, match=sentence):
        build_model({**model, **target}, shape, 10, seed=0)


def test_pooling_equals_torchs_in_value_and_gradient() -> None:
    plain, ours = torch.randn(3, 4, 9, 8, requires_grad=True), MaxPool2d(2)
    same = plain.detach().clone().requires_grad_()
    assert torch.equal(ours(plain), torch.nn.functional.max_pool2d(same, 2))
    torch.autograd.backward([ours(plain).square().sum(), torch.nn.functional.max_pool2d(same, 2).square().sum()])
    assert torch.equal(plain.grad, same.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(3, 2, 6, 6), (2, 5, 7)], ids=["batch", "one image"])
def test_pooling_is_torchs_also_within_vmap_and_twice_differentiated(shape: tuple[int, ...]) -> None:
    stacked = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    own, plain = MaxPool2d(2), nn.MaxPool2d(2)
    expected = torch.stack([plain(images) for images in stacked])
    assert torch.equal(torch.stack([own(images) for images in stacked]), expected)
    assert torch.equal(torch.func.vmap(own)(stacked), expected)

    def loss(pool: nn.Module, images: Tensor) -> Tensor:
        outputs: Tensor = pool(images.pow(3))
        return outputs.pow(2).sum()

    def curved(pool: nn.Module, images: Tensor) -> Tensor:
        gradient = torch.func.grad(partial(loss, pool))
        product: Tensor = torch.func.jvp(gradient, (images,), (torch.ones_like(images),))[1]
        return product

    found = torch.func.vmap(partial(curved, own))(stacked)
    torch.testing.assert_close(found, torch.stack([curved(plain, images) for images in stacked]))
