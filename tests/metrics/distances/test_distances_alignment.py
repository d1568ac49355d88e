"""Alignment of units: permuted networks that compute the same are recovered; costs against scipy and plain loops."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from fedlayers.core.layers import layers_of
from metrics.distances.steps.align import AlignStep
from metrics.distances.steps.elementary import Flatten2DStep
from metrics.distances.weights.alignment import COSTS, align_model, assign_units, unit_costs
from metrics.distances.weights.participant import Client, LayerWeights, Model, RoleArray, model_of, vector_of
from metrics.distances.weights.unit_chain import reordered

# All costs, sorted too where that means something.
WAYS = [(cost, sort) for cost in COSTS for sort in (False, True) if not sort or cost in ("l2", "l1", "pearson")]


def torch_model(module: nn.Module) -> Model:
    """Return the weights, with the statistics of batch norms as arrays of role ``buffer``."""
    tensors = {name: tensor.detach().double() for name, tensor in module.named_parameters()}
    buffers = dict(module.named_buffers())
    found = []
    for layer, weights in zip(layers_of(module), model_of(layers_of(module), tensors), strict=True):
        statistics = tuple(RoleArray("buffer", buffers[name].numpy()) for name in layer.buffers)
        found.append(LayerWeights(weights.name, weights.kind, weights.arrays + statistics))
    return tuple(found)


def load(module: nn.Module, model: Model) -> nn.Module:
    """Put a model's arrays into a module of the same layers."""
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for layer, weights in zip(layers_of(module), model, strict=True):
        for name, array in zip(layer.names + layer.buffers, weights.arrays, strict=True):
            own[name].data = torch.from_numpy(array.values.copy())
    return module


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 5, bias=False), nn.PReLU(5), nn.Linear(5, 3)
    )


def cnn() -> nn.Module:
    """Convolution, batch norm, transposed convolution, flatten, batch norm of the flat features, linear."""
    return nn.Sequential(
        nn.Conv2d(2, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU(),
        nn.ConvTranspose2d(5, 4, 2), nn.PReLU(), nn.Conv2d(4, 3, 2, padding=1),
        nn.Flatten(), nn.BatchNorm1d(3 * 36), nn.Linear(3 * 36, 6), nn.Tanh(), nn.Linear(6, 4),
    )  # fmt: skip


def embedded() -> nn.Module:
    return nn.Sequential(nn.Embedding(7, 5), nn.Linear(5, 4))


def some_input(make: object) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    if make is embedded:
        return torch.arange(7)
    return torch.randn(8, *((4,) if make is mlp else (2, 6, 6)), generator=generator, dtype=torch.float64)


def network(make: type | object, seed: int) -> nn.Module:
    """Return a module in double precision, all of whose parameters and statistics are random."""
    module: nn.Module = make().double().eval()  # type: ignore[operator]
    generator = torch.Generator().manual_seed(seed)
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point():
            tensor.data = torch.rand(tensor.shape, generator=generator, dtype=torch.float64) * 2 - 0.7
    for name, buffer in module.named_buffers():
        if name.endswith("running_var"):
            buffer.data = buffer.data.square() + 0.5
    return module


def random_orders(model: Model, seed: int) -> dict[str, np.ndarray]:
    """Return a random order of the units of every layer but the last that has a weight of two axes or more."""
    draw = np.random.default_rng(seed)
    wide = [layer for layer in model if any(array.values.ndim > 1 for array in layer.arrays)]
    return {layer.name: draw.permutation(len(layer.arrays[0].matrix())) for layer in wide[:-1]}


@pytest.mark.parametrize("make", [mlp, cnn, embedded])
def test_reordered_units_compute_the_same(make: object) -> None:
    module = network(make, 0)
    model = torch_model(module)
    moved = reordered(model, random_orders(model, 1))
    assert not np.array_equal(vector_of(moved), vector_of(model))
    inputs = some_input(make)
    expected = module(inputs)
    assert torch.allclose(load(network(make, 9), moved)(inputs), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [mlp, cnn, embedded])
@pytest.mark.parametrize(("cost", "sort"), WAYS)
def test_a_permuted_copy_is_recovered_exactly(make: object, cost: str, sort: bool) -> None:
    model = torch_model(network(make, 0))
    orders = random_orders(model, 1)
    moved = reordered(model, orders)
    aligned, matches = align_model(model, moved, cost, sort)
    assert np.array_equal(vector_of(aligned), vector_of(model))
    for match in matches[:-1]:
        assert np.array_equal(match.order, np.argsort(orders[match.layer]))
        assert match.moved == (orders[match.layer] != np.arange(len(match.order))).sum()
    assert matches[-1].moved == 0
    assert [match.cost for match in matches] == pytest.approx([0.0] * len(matches), abs=1e-12)


@pytest.mark.parametrize(("cost", "sort"), WAYS)
def test_a_network_matches_itself_in_place(cost: str, sort: bool) -> None:
    model = torch_model(network(cnn, 0))
    aligned, matches = align_model(model, model, cost, sort)
    assert np.array_equal(vector_of(aligned), vector_of(model))
    assert [match.moved for match in matches] == [0] * 5


def with_noise(layer: LayerWeights) -> LayerWeights:
    """Return a layer whose weights, but not its vectors, are a little off."""
    draw = np.random.default_rng(2)
    return replace(
        layer,
        arrays=tuple(
            replace(array, values=array.values + 0.01 * draw.normal(size=array.values.shape))
            if array.values.ndim > 1
            else array
            for array in layer.arrays
        ),
    )


def test_a_noisy_permuted_copy_comes_back_and_computes_what_it_computed() -> None:
    module = network(cnn, 0)
    model = torch_model(module)
    orders = random_orders(model, 4)
    noisy = tuple(with_noise(layer) for layer in reordered(model, orders))
    aligned, matches = align_model(model, noisy)
    assert all(np.array_equal(match.order, np.argsort(orders[match.layer])) for match in matches[:-1])
    inputs = some_input(cnn)
    before, after = (load(network(cnn, 9), each)(inputs) for each in (noisy, aligned))
    assert torch.allclose(before, after, rtol=1e-10, atol=1e-10)
    # The cost is the squared distance of the layers' weights and biases.
    wide = [n for n, layer in enumerate(model) if layer.kind in ("conv", "linear")]
    expected = [np.square(model[n].vector() - aligned[n].vector()).sum() for n in wide]
    assert [match.cost for match in matches] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("cost", COSTS)
def test_a_match_never_costs_more_than_the_order_as_it_is(seed: int, cost: str) -> None:
    reference, model = torch_model(network(mlp, 0)), torch_model(network(mlp, seed + 1))
    aligned, matches = align_model(reference, model, cost)
    # On the inputs as they come: put this layer's units back where they were.
    for match, (a, b) in zip(
        matches, [(a, b) for a, b in zip(reference, aligned, strict=True) if a.kind == "linear"], strict=True
    ):
        rows_a, rows_b = (np.column_stack([x.matrix() for x in reversed(layer.arrays)]) for layer in (a, b))
        back = rows_b[np.argsort(match.order)]
        assert match.cost <= sum(unit_costs(rows_a, back, cost)[n, n] for n in range(len(back))) + 1e-9


def naive_cost(x: np.ndarray, y: np.ndarray, cost: str, sort: bool) -> float:
    x, y = (np.sort(x), np.sort(y)) if sort else (x, y)
    if cost == "gradient":
        return float(sum(a * b < 0 for a, b in zip(x, y, strict=True)) / len(x))
    if cost in ("l1", "l2"):
        return float(sum(abs(a - b) ** int(cost[1]) for a, b in zip(x, y, strict=True)))
    return 1 - float((scipy.stats.pearsonr(x, y) if cost == "pearson" else scipy.stats.spearmanr(x, y))[0])


@pytest.mark.parametrize(("cost", "sort"), WAYS)
def test_costs_are_those_of_the_definition(cost: str, sort: bool) -> None:
    draw = np.random.default_rng(0)
    # Rounded, so that there are ties and zeros.
    x, y = (np.round(draw.normal(size=(n, 9)), 1).astype(np.float32) for n in (4, 3))
    x[0, :3] = 0
    found = unit_costs(x, y, cost, sort)
    expected = [[naive_cost(a, b, cost, sort) for b in y] for a in x]
    assert found.dtype == np.float64
    assert found == pytest.approx(np.array(expected), rel=1e-5, abs=1e-6)


def test_sorted_costs_do_not_depend_on_the_order_of_inputs() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(2, 4, 6))
    for cost in ("l2", "l1", "pearson"):
        turned = unit_costs(x, y[:, draw.permutation(6)], cost, sort=True)
        assert np.array_equal(turned, unit_costs(x, y, cost, sort=True))
        assert not np.allclose(unit_costs(x, y, cost), unit_costs(x, y, cost, sort=True))


@pytest.mark.parametrize("cost", ["pearson", "spearman"])
def test_a_constant_unit_correlates_with_nothing(cost: str) -> None:
    x = np.vstack([np.full(7, 0.1), np.arange(7.0)])
    assert unit_costs(x, x, cost) == pytest.approx(np.array([[1.0, 1.0], [1.0, 0.0]]), abs=1e-12)


def test_the_match_is_the_cheapest_of_all_and_stays_where_it_can() -> None:
    costs = np.random.default_rng(0).normal(size=(6, 6))
    cheapest = min(sum(costs[n, m] for n, m in enumerate(order)) for order in itertools.permutations(range(6)))
    order = assign_units(costs)
    assert sum(costs[np.arange(6), order]) == pytest.approx(cheapest)
    assert assign_units(np.ones((4, 4))).tolist() == [0, 1, 2, 3]
    # Two equal units: swapping them saves nothing, whatever rounding says.
    assert assign_units(np.array([[1e-17, 0.0, 1.0], [0.0, 1e-17, 1.0], [1.0, 1.0, 0.0]])).tolist() == [0, 1, 2]
    assert assign_units(np.array([[1.0, 0.0], [0.0, 1.0]])).tolist() == [1, 0]
    assert assign_units(np.zeros((0, 0))).tolist() == []


@pytest.mark.parametrize(
    ("cost", "sort", "text"),
    [
        ("l3", False, "the cost of a match must be one of l2, l1, pearson, spearman, gradient, got 'l3'"),
        ("spearman", True, "sorted weights can be compared by l2, l1, pearson only, got 'spearman'"),
        ("gradient", True, "sorted weights can be compared by l2, l1, pearson only, got 'gradient'"),
    ],
)
def test_costs_without_a_meaning_are_refused(cost: str, sort: bool, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        unit_costs(np.ones((2, 2)), np.ones((2, 2)), cost, sort)
    with pytest.raises(ValueError, match=text):
        AlignStep(None, cost, sort)


def test_rows_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rows of equal length, got shapes \(2, 3\) and \(2, 4\)"):
        unit_costs(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="weights that are not finite"):
        unit_costs(np.ones((1, 2)), np.array([[1.0, np.nan]]))


def keras_order(model: Model, places: int) -> Model:
    """Return conv + conv + linear in Keras' order: kernels last axes (inputs, outputs), flat features by place."""
    first, second, last = model
    channels = len(second.arrays[0].values)
    units = len(last.arrays[0].values)
    flat = last.arrays[0].values.reshape(units, channels, places).transpose(2, 1, 0).reshape(-1, units)
    kernels = [layer.arrays[0].values.transpose(2, 3, 1, 0) for layer in (first, second)]
    return tuple(
        LayerWeights(layer.name, layer.kind, (RoleArray("weight", values, -1), *layer.arrays[1:]))
        for layer, values in zip(model, [*kernels, flat], strict=True)
    )


def test_keras_order_is_aligned_as_torchs() -> None:
    module = nn.Sequential(nn.Conv2d(2, 5, 3), nn.Conv2d(5, 4, 2), nn.Flatten(), nn.Linear(4 * 9, 3))
    model = torch_model(network(lambda: module, 0))
    other = reordered(model, random_orders(model, 2))
    moved = keras_order(other, 9)
    aligned, matches = align_model(keras_order(model, 9), moved)
    assert [match.moved > 0 for match in matches] == [True, True, False]
    for a, b in zip(aligned, keras_order(model, 9), strict=True):
        assert a.shapes() == b.shapes() and np.array_equal(a.vector(), b.vector())


def test_keras_transposed_convolutions_have_their_units_before_their_inputs() -> None:
    draw = np.random.default_rng(0)
    first = LayerWeights("up", "conv", (RoleArray("weight", draw.normal(size=(2, 2, 5, 3)), -2),))
    second = LayerWeights("out", "conv", (RoleArray("weight", draw.normal(size=(2, 2, 4, 5)), -2),))
    order = np.array([3, 1, 0, 4, 2])
    moved = reordered((first, second), {"up": order})
    assert np.array_equal(moved[0].arrays[0].values, first.arrays[0].values[:, :, order])
    assert np.array_equal(moved[1].arrays[0].values, second.arrays[0].values[..., order])


class Wide(nn.Module):
    """A block with a shortcut convolution, as in residual networks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.shortcut = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3), nn.Conv2d(3, 6, 1)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (
            Wide(),
            "layer 'shortcut' takes 3 inputs, 'conv2' before it gives 6: .* not in residual networks or attention",
        ),
        (nn.Sequential(nn.Linear(2, 3), nn.Linear(6, 2)), "layer '1' takes 6 inputs, '0' before it gives 3"),
        (nn.Sequential(nn.Conv2d(2, 3, 1), nn.Conv2d(6, 2, 1)), "layer '1' takes 6 inputs"),
        (nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 3, groups=4)), "layer '1' takes 1 inputs"),
        (nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(2)), "layer '1' takes 2 inputs, '0' before it gives 3"),
        (nn.LSTM(3, 4), "layer '.*' of kind 'lstm' has not one weight"),
        (nn.Sequential(nn.ConvTranspose2d(4, 4, 3, groups=2)), "layer '0' has 2 units, but a vector of another length"),
    ],
)
def test_models_that_are_no_chains_are_refused(module: nn.Module, text: str) -> None:
    model = torch_model(module)
    with pytest.raises(ValueError, match=text):
        align_model(model, model)


def test_an_axis_that_does_not_tell_the_inputs_is_refused() -> None:
    layers = [LayerWeights(name, "conv", (RoleArray("weight", np.ones((3, 3, 4, 4)), 3),)) for name in "ab"]
    with pytest.raises(ValueError, match=r"unit_axis must be 0 or 1 .* got 3 in layer 'b'"):
        align_model(tuple(layers), tuple(layers))


def test_convolutions_that_were_flattened_are_refused() -> None:
    model = torch_model(nn.Sequential(nn.Conv2d(2, 3, 2), nn.Conv2d(3, 4, 2)))
    with pytest.raises(ValueError, match="layer '1' takes 12 inputs, '0' before it gives 3"):
        AlignStep()([Client(Flatten2DStep().apply(model))])


def test_networks_of_other_layers_are_refused() -> None:
    a, b = (torch_model(nn.Sequential(nn.Linear(2, n), nn.Linear(n, 2))) for n in (3, 4))
    for other in (b, a[:1]):
        with pytest.raises(ValueError, match="only networks with equal layers can be aligned"):
            align_model(a, other)


def permuted_clients() -> list[Client]:
    """Return three clients, each a permuted copy of the first with its gradient permuted alike."""
    model, gradient = torch_model(network(mlp, 0)), torch_model(network(mlp, 5))
    orders = [{}, random_orders(model, 1), random_orders(model, 2)]
    return [Client(reordered(model, order), reordered(gradient, order)) for order in orders]


@pytest.mark.parametrize("unit_cost", COSTS)
def test_the_step_takes_models_and_gradients_along(unit_cost: str) -> None:
    clients = permuted_clients()
    before = [vector_of(client.model) for client in clients]
    found = AlignStep(unit_cost=unit_cost)(clients)
    for client in found:
        assert client.gradient is not None and clients[0].gradient is not None
        assert np.array_equal(vector_of(client.model), before[0])
        assert np.array_equal(vector_of(client.gradient), vector_of(clients[0].gradient))
    assert all(np.array_equal(vector_of(client.model), old) for client, old in zip(clients, before, strict=True))


def test_the_step_aligns_with_the_reference_it_is_given() -> None:
    clients = permuted_clients()
    step = AlignStep(reference=clients[2].model)
    assert all(np.array_equal(vector_of(c.model), vector_of(clients[2].model)) for c in step(clients[:2]))
    assert [client.gradient for client in step([Client(clients[0].model)])] == [None]
    # A gradient is a network of its own where gradients are matched.
    by_gradient = AlignStep(reference=clients[1].gradient, unit_cost="gradient")
    assert np.array_equal(vector_of(by_gradient(clients)[0].model), vector_of(clients[1].model))


def test_a_client_that_diverged_has_no_numbers_and_is_no_reference() -> None:
    clients = permuted_clients()
    weights = clients[0].model[0].arrays[0].values.copy()
    weights[0, 0] = np.inf
    broken = LayerWeights("0", "linear", (RoleArray("weight", weights), *clients[0].model[0].arrays[1:]))
    diverged = Client((broken, *clients[0].model[1:]), clients[0].gradient)
    found = AlignStep()([diverged, *clients[1:]])
    assert found[0].gradient is not None
    assert np.isnan(vector_of(found[0].model)).all() and np.isnan(vector_of(found[0].gradient)).all()
    assert np.array_equal(vector_of(found[1].model), vector_of(clients[1].model))
    assert np.array_equal(vector_of(found[2].model), vector_of(clients[1].model))
    assert np.isnan(vector_of(AlignStep()([diverged])[0].model)).all()
    with pytest.raises(ValueError, match="weights that are not finite"):
        AlignStep(reference=diverged.model)(clients)
    assert AlignStep()([]) == []


def test_matching_gradients_needs_gradients() -> None:
    with pytest.raises(ValueError, match="unit_cost='gradient' needs clients with gradients"):
        AlignStep(unit_cost="gradient")([Client(permuted_clients()[0].model)])


def test_steps_with_equal_references_are_equal() -> None:
    a, b = permuted_clients()[:2]
    assert AlignStep(a.model) == AlignStep(permuted_clients()[0].model)
    assert hash(AlignStep(a.model)) == hash(AlignStep(permuted_clients()[0].model))
    assert (
        len({AlignStep(a.model), AlignStep(b.model), AlignStep(), AlignStep(unit_cost="l1"), AlignStep(sort=True)}) == 5
    )
