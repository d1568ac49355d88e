"""Products with Hessian blocks against dense Hessians, closed forms and symmetry."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, hessian
from torch.nn.attention import SDPBackend, sdpa_kernel

from fedlayers.core.layers import Layer, layers_of
from fedlayers.objectives.objective import Objective
from metrics.hessian.products import GradientGraph
from tests.support.metric_views import where


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(shape: tuple[int, ...], classes: int = 3, n: int = 12) -> tuple[Tensor, Tensor]:
    features = torch.randn(n, *shape, generator=generator(0), dtype=torch.float64)
    return features.to(where[0]), torch.randint(classes, (n,), generator=generator(1)).to(where[0])


def made(*modules: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for module in modules:
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.reset_parameters()
        return nn.Sequential(*modules).double().eval()


def mlp() -> nn.Sequential:
    return made(nn.Linear(4, 5), nn.Tanh(), nn.LayerNorm(5), nn.Dropout(0.5), nn.Linear(5, 3))


def convolutional() -> nn.Sequential:
    return made(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3))


def dense(module: nn.Module, layer: Layer, features: Tensor, labels: Tensor) -> Tensor:
    """Return a layer's Hessian block, shape (d, d), by torch.func.hessian."""
    everything = {name: tensor.detach() for name, tensor in module.named_parameters()}
    sizes = [everything[name].numel() for name in layer.names]
    flat = torch.cat([everything[name].flatten() for name in layer.names])

    def loss(vector: Tensor) -> Tensor:
        parts = torch.split(vector, sizes)
        own = {name: part.view(everything[name].shape) for name, part in zip(layer.names, parts, strict=True)}
        return F.cross_entropy(functional_call(module, {**everything, **own}, (features,)), labels)

    found: Tensor = hessian(loss)(flat)
    return found


def settings() -> nn.Sequential:
    """Return convolutions with every setting, smooth in between, the last behind a linear layer."""
    return made(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2, bias=False),
        nn.Tanh(),
        nn.Conv2d(4, 3, (3, 1), dilation=(1, 2), padding="same"),
        nn.Flatten(2),
        nn.Linear(9, 5),
        nn.Tanh(),
        nn.Conv1d(3, 2, 2, padding=1),
        nn.Flatten(),
        nn.Linear(12, 3),
    )


class Repeated(nn.Module):
    """A convolution that runs twice, and one whose weight has a second use."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.tied, self.head = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1), nn.Linear(8, 3)

    def forward(self, features: Tensor) -> Tensor:
        features = torch.tanh(features @ self.tied.weight.flatten(1))
        found: Tensor = self.head(self.tied(self.conv(torch.tanh(self.conv(features)))).flatten(1))
        return found


CASES: list[tuple[nn.Module, tuple[int, ...]]] = [(mlp(), (4,)), (convolutional(), (1, 6, 6))]
CONVOLUTIONS: list[tuple[nn.Module, tuple[int, ...]]] = [(settings(), (2, 5, 5)), (made(Repeated()), (2, 2, 2))]


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize(("module", "shape"), CASES + CONVOLUTIONS, ids=["mlp", "conv", "settings", "repeated"])
def test_products_are_those_of_the_dense_block(module: nn.Module, shape: tuple[int, ...]) -> None:
    module, (features, labels) = module.to(where[0]), batch(shape)
    graph = GradientGraph(module, layers_of(module), features, labels)
    for layer in layers_of(module):
        block = dense(module, layer, features, labels)
        vectors = torch.randn(4, len(block), generator=generator(2), dtype=torch.float64).to(where[0])
        assert torch.allclose(graph.products(layer, vectors), vectors @ block, rtol=1e-9, atol=1e-12)
        assert torch.allclose(graph.products(layer, vectors[:1]), vectors[:1] @ block, rtol=1e-9, atol=1e-12)


def test_a_block_of_some_parameters_is_part_of_the_layers() -> None:
    module, (features, labels) = mlp(), batch((4,))
    layers = layers_of(module)
    graph, block = GradientGraph(module, layers, features, labels), dense(mlp(), layers[0], features, labels)
    direction = torch.randn(5, 4, generator=generator(2), dtype=torch.float64)
    (found,) = graph.product(layers[0], [direction], ["0.weight"])
    assert torch.allclose(found.flatten(), block[:20, :20] @ direction.flatten(), rtol=1e-9)


@pytest.mark.parametrize(("module", "shape"), CASES, ids=["mlp", "conv"])
def test_it_is_symmetric_and_repeats_itself(module: nn.Module, shape: tuple[int, ...]) -> None:
    features, labels = batch(shape)
    first, second = (GradientGraph(module, layers_of(module), features, labels) for _ in range(2))
    for layer in layers_of(module):
        size = sum(module.get_parameter(name).numel() for name in layer.names)
        u, v = torch.randn(2, size, generator=generator(4), dtype=torch.float64)
        once = first.products(layer, v[None])[0]
        assert float(u @ once) == pytest.approx(float(v @ first.products(layer, u[None])[0]), rel=1e-9, abs=1e-14)
        assert torch.equal(once, second.products(layer, v[None])[0])
    assert first.loss == second.loss == pytest.approx(F.cross_entropy(module(features), labels).item())


def test_softmax_regression_has_its_closed_form() -> None:
    module, (features, labels) = made(nn.Linear(4, 3)), batch((4,))
    graph = GradientGraph(module, layers_of(module), features, labels)
    p = module(features).softmax(1).detach()
    inner = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    weights = torch.einsum("ncd,ni,nj->cidj", inner, features, features).reshape(12, 12) / len(features)
    found = torch.stack(
        [
            graph.product(layers_of(module)[0], [row.view(3, 4)], ["0.weight"])[0].flatten()
            for row in torch.eye(12).double()
        ]
    )
    assert torch.allclose(found, weights, atol=1e-12)


def test_gradients_are_autograds() -> None:
    module, (features, labels) = convolutional(), batch((1, 6, 6))
    graph = GradientGraph(module, layers_of(module), features, labels)
    expected = torch.autograd.grad(F.cross_entropy(module(features), labels), list(module.parameters()))
    found = [slope for layer in layers_of(module) for slope in graph.gradients(layer)]
    assert all(torch.allclose(a, b) for a, b in zip(found, expected, strict=True))
    assert not any(slope.requires_grad for slope in found)


class Unused(nn.Module):
    """One layer the loss does not depend on, one it depends on linearly."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.used(features)
        return found


def test_a_layer_the_loss_does_not_depend_on_is_flat() -> None:
    module = Unused().double().eval()
    graph = GradientGraph(module, layers_of(module), *batch((4,)))
    used, idle = layers_of(module)
    assert (graph.is_used(used), graph.is_used(idle)) == (True, False)
    assert not any(slope.any() for slope in graph.gradients(idle))
    assert not graph.products(idle, torch.ones(2, 15, dtype=torch.float64)).any()


class Slanted(Objective):
    """A loss that is linear in what the model puts out."""

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return -outputs.gather(1, labels[:, None]).squeeze(1)


def test_a_loss_of_constant_slope_is_flat_for_one_vector_and_for_many() -> None:
    module = made(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    graph = GradientGraph(module, layers_of(module), *batch((4,)), Slanted())
    for layer in layers_of(module):
        size = sum(parameter.shape.numel() for parameter in module[int(layer.name)].parameters())
        for count in (1, 3):
            products = graph.products(layer, torch.ones(count, size, dtype=torch.float64))
            assert products.shape == (count, size) and not products.any()


class Attentive(nn.Module):
    """Attention that would take a fused kernel, which cannot be differentiated twice."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(4, 12), nn.Linear(4, 3)

    def forward(self, features: Tensor) -> Tensor:
        q, k, v = self.qkv(features).chunk(3, -1)
        found: Tensor = self.head(F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0].mean(1))
        return found


def test_attention_works() -> None:
    module = Attentive().double().eval()
    features, labels = batch((6, 4))
    graph = GradientGraph(module, layers_of(module), features, labels)
    layer = layers_of(module)[0]
    with sdpa_kernel(SDPBackend.MATH):
        block = dense(module, layer, features, labels)
    found = graph.products(layer, torch.eye(len(block), dtype=torch.float64))
    assert torch.allclose(found, block, rtol=1e-8, atol=1e-12)


def test_the_model_is_left_as_found_and_the_graph_goes() -> None:
    module, (features, labels) = convolutional(), batch((1, 6, 6))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    graph = GradientGraph(module, layers_of(module), features, labels)
    graph.products(layers_of(module)[0], torch.ones(1, 20, dtype=torch.float64))
    slope = next(iter(graph._gradients.values()))
    assert slope is not None
    held = weakref.ref(slope)
    gc.disable()
    try:
        del graph, slope
        assert held() is None
    finally:
        gc.enable()
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
