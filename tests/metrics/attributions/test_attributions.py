"""Attribution maps against captum, closed forms and what they must sum to."""

from collections import OrderedDict
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedlayers.models.token_attention import TokenAttention
from metrics.attributions.attention import attention_maps, attention_rollout, tokens_reached
from metrics.attributions.difference import map_difference
from metrics.attributions.grad_cam import KINDS, enlarged, grad_cam, scaled
from metrics.attributions.inputs import input_gradients, integrated_gradients
from metrics.attributions.targets import class_logits


def network(seed: int = 0, *, inplace: bool = False) -> Any:
    torch.manual_seed(seed)
    parts: list[tuple[str, nn.Module]] = [
        ("first", nn.Conv2d(3, 6, 3, padding=1)),
        ("norm", nn.BatchNorm2d(6)),
        ("relu1", nn.ReLU(inplace)),
        ("pool", nn.MaxPool2d(2)),
        ("second", nn.Conv2d(6, 8, 3, padding=1)),
        ("relu2", nn.ReLU(inplace)),
        ("flatten", nn.Flatten()),
        ("drop", nn.Dropout(0.5)),
        ("out", nn.Linear(8 * 16, 5)),
    ]
    return nn.Sequential(OrderedDict(parts))


def images(n: int = 4) -> Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layer", ["first", "second", "pool", "relu2"])
@pytest.mark.parametrize("rectified", [True, False])
def test_grad_cam_is_that_of_captum(layer: str, rectified: bool) -> None:
    captum = pytest.importorskip("captum.attr")
    model, classes = network(), torch.tensor([0, 4, 2, 2])
    expected = captum.LayerGradCam(model.eval(), getattr(model, layer)).attribute(
        images(), target=classes, relu_attributions=rectified
    )
    found = grad_cam(model, getattr(model, layer), images(), classes, rectified=rectified)
    torch.testing.assert_close(found, expected.detach()[:, 0], rtol=1e-5, atol=1e-7)


def test_gradients_are_those_of_captum() -> None:
    captum = pytest.importorskip("captum.attr")
    model, classes = network().eval(), torch.tensor([0, 4, 2, 2])
    saliency = captum.Saliency(model).attribute(images().requires_grad_(), target=classes, abs=False)
    torch.testing.assert_close(input_gradients(model, images(), classes), saliency.detach(), rtol=1e-5, atol=1e-7)
    integrated = captum.IntegratedGradients(model).attribute(images(), target=classes, n_steps=50)
    found = integrated_gradients(model, images(), classes)
    torch.testing.assert_close(found, integrated.detach().float(), rtol=1e-4, atol=1e-5)


class Branches(nn.Module):
    """Two branches, strided, in groups, with batch norm and rectifiers that overwrite; one part leads nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.two = nn.Conv2d(3, 6, 5, stride=2, padding=2)
        self.norm, self.relu = nn.BatchNorm2d(12), nn.ReLU(inplace=True)
        self.grouped = nn.Conv2d(12, 12, 3, groups=4, padding=2, dilation=2)
        self.unused = nn.Conv2d(3, 2, 1)
        self.out = nn.Linear(12, 5)

    def forward(self, inputs: Tensor) -> Tensor:
        self.unused(inputs)
        maps = self.relu(self.norm(torch.cat([self.relu(self.one(inputs)), self.relu(self.two(inputs))], 1)))
        found: Tensor = self.out((self.relu(self.grouped(maps)) + maps).mean((2, 3)))
        return found


@pytest.mark.parametrize("name", ["one", "two", "norm", "grouped"])
def test_maps_of_odd_layers_are_those_of_captum(name: str) -> None:
    captum = pytest.importorskip("captum.attr")
    torch.manual_seed(0)
    model = Branches()
    model(images())  # so that batch norm has seen something
    layer, shown = getattr(model, name), images()
    found = grad_cam(model, layer, shown, 2), grad_cam(model, layer, shown, 2, "hires_cam", rectified=False)
    model.eval()
    expected = captum.LayerGradCam(model, layer).attribute(shown, 2, relu_attributions=True)[:, 0]
    parts = captum.LayerGradientXActivation(model, layer).attribute(shown, 2).sum(1)
    torch.testing.assert_close(found[0], expected)
    torch.testing.assert_close(found[1], parts)


def test_grad_cam_of_pooled_maps_is_the_class_activation_map() -> None:
    torch.manual_seed(0)
    body, head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)
    model = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    expected = torch.einsum("nkhw,k->nhw", body(images()), head.weight[2]).detach()
    for kind in KINDS[:2]:
        found = grad_cam(model, body, images(), 2, kind, rectified=False)
        torch.testing.assert_close(found * 36, expected, rtol=1e-4, atol=1e-5)


def test_hires_cam_adds_up_to_the_logit_where_the_rest_is_linear() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5, bias=False))
    found = grad_cam(model, model[0], images(), 3, "hires_cam", rectified=False)
    torch.testing.assert_close(found.sum((1, 2)), model(images())[:, 3].detach(), rtol=1e-4, atol=1e-5)


def test_kinds_are_their_formulas() -> None:
    model = network().eval()
    maps = model[:5](images()).detach().requires_grad_()
    model[5:](maps)[:, 1].sum().backward()
    slopes = maps.grad
    assert slopes is not None
    found = {kind: grad_cam(model, model.second, images(), 1, kind, False) for kind in KINDS[1:]}
    torch.testing.assert_close(found["hires_cam"], (maps * slopes).sum(1).detach())
    torch.testing.assert_close(found["elementwise"], (maps * slopes).relu().sum(1).detach())
    doubled = network().eval()
    doubled.out.weight.data *= 2
    doubled.out.bias.data *= 2
    for kind in KINDS:
        one, two = (grad_cam(m, m.second, images(), 1, kind) for m in (model, doubled))
        torch.testing.assert_close(two, 2 * one)


def test_what_overwrites_its_input_changes_no_map() -> None:
    plain, inplace = network(), network(inplace=True)
    for kind in KINDS[:2]:
        maps = [grad_cam(m, m.first, images(), 1, kind) for m in (plain, inplace)]
        torch.testing.assert_close(*maps)


def test_nothing_of_the_model_changes() -> None:
    model = network().train()
    model.first.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = grad_cam(model, model.second, images())
    with torch.no_grad():
        again = grad_cam(model, model.second, images())
        integrated_gradients(model, images())
    assert torch.equal(first, again) and model.training and model.drop.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [p.requires_grad for p in model.parameters()].count(False) == 1
    assert not any(part._forward_hooks for part in model.modules())


def test_integrated_gradients_add_up() -> None:
    model, baseline = network().eval(), torch.full((3, 8, 8), 0.2)
    found = integrated_gradients(model, images(), 2, baseline, steps=200)
    gap = (model(images()) - model(baseline[None]))[:, 2].detach()
    torch.testing.assert_close(found.flatten(1).sum(1), gap, rtol=1e-2, atol=1e-3)


def test_maps_are_enlarged_and_scaled() -> None:
    maps = torch.rand(2, 4, 4)
    torch.testing.assert_close(
        enlarged(maps, (8, 8)), F.interpolate(maps[:, None], scale_factor=2, mode="bilinear")[:, 0]
    )
    assert scaled(-3 * maps).flatten(1).abs().amax(1).tolist() == [1, 1]


def encoder() -> nn.TransformerEncoder:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def test_attention_is_the_softmax_of_queries_and_keys() -> None:
    model = encoder().eval()
    tokens = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    found = attention_maps(model, tokens)
    assert list(found) == ["layers.0.self_attn", "layers.1.self_attn"]
    attention = model.layers[0].self_attn
    query, key, _ = (tokens @ attention.in_proj_weight.T + attention.in_proj_bias).chunk(3, -1)
    heads = [part.reshape(3, 5, 2, 4).transpose(1, 2) for part in (query, key)]
    expected = (heads[0] @ heads[1].transpose(2, 3) / 2).softmax(-1).detach()
    torch.testing.assert_close(found["layers.0.self_attn"], expected)
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in model.modules())


def test_rollout_keeps_rows_that_sum_to_one() -> None:
    maps = list(attention_maps(encoder(), torch.randn(3, 5, 8)).values())
    found = attention_rollout(maps)
    torch.testing.assert_close(found.sum(-1), torch.ones(3, 5))
    first, second = ((layer.mean(1) + torch.eye(5)) / 2 for layer in maps)
    torch.testing.assert_close(found, second @ first)


def test_equal_models_look_alike() -> None:
    maps, labels = torch.rand(4, 3, 3), torch.tensor([0, 1, 1, 0])
    same = map_difference(maps, 5 * maps, labels)
    torch.testing.assert_close(same.similarity, torch.ones(4).double())
    assert float(same.difference.abs().max()) < 1e-6
    other = torch.rand(4, 3, 3)
    found, back = map_difference(maps, other, labels), map_difference(other, maps, labels)
    torch.testing.assert_close(found.difference, -back.difference)
    torch.testing.assert_close(found.by_class[1], found.difference[1:3].mean(0))
    assert bool(map_difference(maps, 0 * maps, labels).similarity.isnan().all())


def test_what_has_no_map_is_told() -> None:
    model, branches = network(), Branches()
    for arguments, message in [
        ((model.second, images(), 0, "cam"), r"kind must be one of grad_cam, hires_cam, elementwise, got 'cam'"),
        ((nn.Conv2d(3, 3, 1), images()), r"layer must be used once in a pass of the model, got 0 times"),
        ((model.out, images()), r"layer must put out feature maps \(n, channels, places\), got \(4, 5\)"),
        ((model.second, images(), 5), r"classes must be in 0 … 4, got 5 … 5"),
        ((model.second, images(), torch.tensor([1, 2])), r"classes must be one for all or one for each of 4 records"),
    ]:
        with pytest.raises(ValueError, match=message):
            grad_cam(model, *arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"module must give logits of shape \(records, classes\), got \(2, 3, 4\)"):
        class_logits(torch.zeros(2, 3, 4), 0)
    with pytest.raises(ValueError, match=r"layer must lead to the logits, got one that nothing of them depends on"):
        grad_cam(branches, branches.unused, images())
    with pytest.raises(ValueError, match=r"module must give logits of shape \(records, classes\), got \(20,\)"):
        integrated_gradients(nn.Sequential(model, nn.Flatten(0)), images())
    with pytest.raises(ValueError, match=r"inputs must be floating-point numbers, got torch.int64"):
        input_gradients(model, torch.zeros(1, 2, dtype=torch.long))
    with pytest.raises(ValueError, match=r"steps must be 1 or more, got 0"):
        integrated_gradients(model, images(), steps=0)
    with pytest.raises(ValueError, match=r"module must have a layer of nn.MultiheadAttention, got none"):
        attention_maps(model, images())
    with pytest.raises(ValueError, match=r"maps must hold those of 1 layer or more, got none"):
        attention_rollout([])
    with pytest.raises(ValueError, match=r"first, second and labels must be of the same records and size"):
        map_difference(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(3))


def test_padding_neither_reaches_the_end_nor_counts_there() -> None:
    torch.manual_seed(0)
    model = TokenAttention((5,), 3, num_tokens=20, width=8)
    tokens = torch.tensor([[4, 7, 9, 0, 0], [3, 3, 5, 6, 8]])
    found = tokens_reached(model, tokens)
    assert found[0, 3:].tolist() == [0, 0] and found.sum(1).tolist() == pytest.approx([1, 1])
    # As if the padding were not there.
    assert found[0, :3].tolist() == pytest.approx(tokens_reached(model, tokens[:1, :3])[0].tolist())
    (maps,) = attention_maps(model, tokens).values()
    assert found[1].tolist() == pytest.approx(((maps[1].mean(0) + torch.eye(5)).mean(0) / 2).tolist())


def test_attention_of_some_tokens_to_others_reaches_no_end() -> None:
    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 1, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.attention(x[:, :2], x, x)[0]
            return found

    with pytest.raises(ValueError, match="attention must be of all tokens to all, got maps of"):
        tokens_reached(Crossed(), torch.randn(1, 3, 4))
