"""What layers put out on the probe: by hand, for every kind of layer, and why there may be nothing."""

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fedlayers.core.layers import layers_of
from fedlayers.models.token_attention import TokenAttention
from metrics.compare.measures.cca import PWCCA
from metrics.compare.measures.cka import CKA
from metrics.compare.measures.shape import ShapeMetric
from metrics.probe.activations import layer_outputs, probe_activations, probe_remark
from metrics.probe.positions import check_positions
from tests.support.metric_views import client_view, network, some_rows

pytestmark = pytest.mark.usefixtures("device")

CONV = nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(27, 2)).eval()
IMAGES = torch.randn(10, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def outputs(module: nn.Module, features: Tensor, positions: str = "pooled") -> dict[str, Tensor]:
    return layer_outputs(module, layers_of(module), features.split(4), positions).outputs  # type: ignore[no-untyped-call]


def test_outputs_are_the_layers_own_before_the_activation_function() -> None:
    found = outputs(CONV, IMAGES)
    maps = CONV[0](IMAGES).detach()
    assert list(found) == ["0", "3"]
    assert torch.allclose(found["0"], maps.mean((2, 3)), atol=1e-6)
    assert torch.allclose(found["3"], CONV(IMAGES).detach(), atol=1e-6)
    assert found["0"].min() < 0


def test_positions_are_pooled_flattened_or_samples() -> None:
    maps = CONV[0](IMAGES).detach()
    samples = outputs(CONV, IMAGES, "samples")
    assert samples["0"].shape == (10, 9, 3) and samples["3"].shape == (10, 1, 2)
    assert torch.allclose(samples["0"], maps.flatten(2).transpose(1, 2), atol=1e-6)
    assert torch.allclose(outputs(CONV, IMAGES, "flattened")["0"], samples["0"].flatten(1), atol=1e-6)
    assert torch.allclose(outputs(CONV, IMAGES)["0"], samples["0"].mean(1), atol=1e-6)


class _Maps(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the tensors of at least so many numbers that are still there."""

    def __init__(self, least: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.least, self.seen = least, list[weakref.ref[Tensor]]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor) and found.numel() >= self.least:
            self.seen.append(weakref.ref(found))
        return found

    @property
    def alive(self) -> int:
        return sum(seen() is not None for seen in self.seen)


@pytest.mark.parametrize(("positions", "kept"), [("pooled", [0, 0, 0]), ("flattened", [2, 4, 6])])
def test_maps_of_a_batch_are_gone_before_the_next_one(positions: str, kept: list[int]) -> None:
    module = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU()).eval()
    maps, alive = _Maps(4 * 8 * 30 * 30), []

    def batches() -> Iterator[Tensor]:
        for _ in range(3):
            yield torch.ones(4, 1, 30, 30)
            gc.collect()
            alive.append(maps.alive)

    with maps:
        layer_outputs(module, layers_of(module), batches(), positions)
    assert len(maps.seen) > 6 and alive == kept


def test_steps_of_a_sequence_are_positions_and_attention_means_its_first_output() -> None:
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    with torch.no_grad():
        found = layer_outputs(encoder, layers_of(encoder), [torch.randn(5, 7, 8)], "samples")
    assert found.outputs["norm2"].shape == (5, 7, 8)
    assert found.outputs["linear1"].shape == (5, 7, 16)
    # A fused kernel goes round the modules: said, not guessed.
    assert all("times a forward pass" in reason for reason in found.reasons.values())


def test_the_model_is_left_as_it_was() -> None:
    before = {name: tensor.clone() for name, tensor in CONV.state_dict().items()}
    outputs(CONV, IMAGES)
    assert all(torch.equal(before[name], tensor) for name, tensor in CONV.state_dict().items())
    assert not any(module._forward_hooks for module in CONV.modules())


class Odd(nn.Module):
    """One layer runs twice, one never, one returns no row an example, one returns NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.never, self.flat, self.bad = (nn.Linear(6, 6) for _ in range(4))
        self.flat.weight.data.zero_()
        self.bad.bias.data.fill_(torch.nan)

    def forward(self, features: Tensor) -> Tensor:
        first: Tensor = self.twice(self.twice(features))
        self.flat(features.mean(0))
        last: Tensor = self.bad(features)
        return first + last


def test_a_layer_without_usable_output_has_a_reason() -> None:
    module = Odd().eval()
    found = layer_outputs(module, layers_of(module), [torch.randn(5, 6)], "pooled")
    assert found.outputs == {}
    assert found.reasons == {
        "twice": "it runs 2 times a forward pass, once is needed",
        "never": "its module is never called in a forward pass: its parameters have no output of their own",
        "flat": "its output is not one tensor with a row an example",
        "bad": "its output is not finite",
    }


def test_a_view_computes_them_once() -> None:
    view = client_view(network(), {})
    view.probe = some_rows(300)
    found = probe_activations(view, "pooled")
    assert found.outputs["0"].shape == (300, 8)
    assert probe_activations(view, "pooled") is found


def test_without_a_probe_there_is_nothing_to_measure_on() -> None:
    with pytest.raises(ValueError, match="there is no probe"):
        probe_activations(client_view(network(), {}), "pooled")
    assert probe_remark(client_view(network(), {}), "pooled", {}) == []


@pytest.mark.parametrize(("examples", "remarks"), [(31, 1), (32, 0)])
def test_a_probe_too_small_for_a_layer_is_remarked(examples: int, remarks: int) -> None:
    view = client_view(network(), {})
    view.probe = some_rows(examples)
    found = probe_remark(view, "pooled", {"cka": CKA(), "shape_1": ShapeMetric(1.0)})
    assert len(found) == remarks
    assert all("the probe has 31 examples, and layer 0 8 units (pooled)" in one for one in found)
    assert all("raise probe.size to 32" in one for one in found)


@pytest.mark.parametrize(
    ("limit", "advice"),
    [
        (None, "raise probe.size to 32"),
        (32, "raise probe.size to 32"),
        (
            31,
            "give it more than the 31 examples that there are: raise split.server_test, or choose another probe.policy",
        ),
    ],
)
def test_no_more_examples_are_advised_than_there_are(limit: int | None, advice: str) -> None:
    view = client_view(network(), {})
    view.probe, view.probe_limit = some_rows(31), limit
    (found,) = probe_remark(view, "pooled", {})
    assert found.endswith(f"use debiased CKA, or {advice}")


@pytest.mark.parametrize(("examples", "biased"), [(511, True), (512, False)])
def test_measures_that_are_biased_for_longer_say_so(examples: int, biased: bool) -> None:
    view = client_view(network(), {})
    view.probe = some_rows(examples)
    measures = {"cka": CKA(), "pwcca": PWCCA(), "shape_0": ShapeMetric(0.0), "shape_05": ShapeMetric(0.5)}
    found = probe_remark(view, "pooled", measures)
    assert bool(found) == biased
    assert all(
        f"the probe has {examples} examples, and layer 0 8 units (pooled): pwcca and shape_0 show more agreement" in one
        for one in found
    )


def test_unknown_positions_are_refused() -> None:
    with pytest.raises(ValueError, match="positions must be one of pooled, flattened, samples, got 'mean'"):
        check_positions("mean")


class Attending(nn.Module):
    """Attention whose queries come from elsewhere than its keys, by name."""

    def __init__(self, **sizes: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **sizes)

    def forward(self, features: Tensor) -> Tensor:
        queries = features if self.attention._qkv_same_embed_dim else features[..., :8]
        mixed: Tensor = self.attention(queries, key=features, value=features, need_weights=False)[0]
        return mixed


@pytest.mark.parametrize("sizes", [{}, {"kdim": 9, "vdim": 9}])
def test_the_parts_of_attention_have_their_outputs(sizes: dict[str, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(1)
    module = Attending(**sizes).eval()
    attention = module.attention
    nn.init.normal_(attention.in_proj_bias, generator=generator)
    features = torch.randn(7, 5, 9 if sizes else 8, generator=generator)
    found = layer_outputs(module, layers_of(module), features.split(4), "samples")  # type: ignore[no-untyped-call]
    mixed = attention(features[..., :8], features, features)[0]
    assert torch.allclose(found.outputs["attention.out_proj"], mixed, atol=1e-6)
    own = attention.state_dict()
    weights = [own[f"{name}_proj_weight"] for name in "qkv"] if sizes else own["in_proj_weight"].split(8)
    inputs = [features[..., :8], features, features]
    expected = [x @ w.T + b for x, w, b in zip(inputs, weights, own["in_proj_bias"].split(8), strict=True)]
    assert torch.allclose(found.outputs["attention"], torch.cat(expected, -1), atol=1e-5)
    pooled = layer_outputs(module, layers_of(module), [features], "pooled").outputs["attention"]
    assert torch.allclose(pooled, torch.cat(expected, -1).mean(1), atol=1e-5)


class StepsFirst(nn.Module):
    """Turns examples (n, steps, d) into steps first, as recurrent layers and attention take them by default."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.rnn, self.attention = nn.Linear(3, 4), nn.GRU(4, 4), nn.MultiheadAttention(4, 1)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.rnn(self.into(features.transpose(0, 1)))[0]
        mixed: Tensor = self.attention(hidden, hidden, hidden)[0]
        return mixed.mean(0)


@pytest.mark.parametrize("examples", [5, 7])
def test_examples_are_found_on_the_second_axis_even_with_as_many_steps(examples: int) -> None:
    torch.manual_seed(2)
    module = StepsFirst().eval()
    features = torch.randn(examples, 5, 3)
    found = layer_outputs(module, layers_of(module), [features], "samples")
    assert found.reasons == {}
    into = module.into(features)
    assert torch.allclose(found.outputs["into"], into, atol=1e-6)
    steps = module.rnn(into.transpose(0, 1))[0]
    assert torch.allclose(found.outputs["rnn"], steps.transpose(0, 1), atol=1e-6)
    assert torch.allclose(found.outputs["attention.out_proj"].mean(1), module(features), atol=1e-6)
    assert found.outputs["attention"].shape == (examples, 5, 12)


class Rows(nn.Module):
    """Puts all rows of all examples into one batch: no axis holds the examples."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.head, self.scale = nn.Linear(4, 3), nn.Linear(3, 2), nn.Parameter(torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        rows = self.rows(features.reshape(-1, 4)).reshape(len(features), -1, 3)
        logits: Tensor = self.head(rows.mean(1)) * self.scale
        return logits


def test_what_is_not_a_layers_own_is_not_taken_for_its_output() -> None:
    module = Rows().eval()
    # One row an example in the only batch: the shape alone would do.
    found = layer_outputs(module, layers_of(module), [torch.randn(6, 1, 4)], "pooled")
    assert set(found.outputs) == {"rows", "head"}
    found = layer_outputs(module, layers_of(module), [torch.randn(6, 3, 4)], "pooled")
    assert set(found.outputs) == {"head"}
    assert found.reasons == {
        "rows": "its output is not one tensor with a row an example",
        "(model)": "its parameters have no output of their own: further layers lie inside of its module",
    }


def test_complex_units_are_pairs_of_units() -> None:
    torch.manual_seed(3)
    module = nn.Linear(4, 3, dtype=torch.complex64).eval()
    features = torch.randn(6, 4, dtype=torch.complex64)
    (found,) = layer_outputs(module, layers_of(module), [features], "pooled").outputs.values()
    assert torch.allclose(found[:, :3] + 1j * found[:, 3:], module(features).detach())


def test_words_are_samples_where_there_is_no_padding() -> None:
    network = TokenAttention((5,), 3, num_tokens=20, width=4).eval()
    layers, tokens = layers_of(network), torch.tensor([[4, 7, 2, 8, 6], [5, 6, 2, 9, 3], [3, 4, 5, 6, 7]])
    assert layer_outputs(network, layers, [tokens], "samples").outputs["attention"].shape == (3, 5, 12)
    tokens[1, 4] = 0
    with pytest.raises(ValueError, match="positions must be pooled or flattened for examples of different lengths"):
        layer_outputs(network, layers, [tokens], "samples")


@pytest.mark.parametrize("positions", ["pooled", "flattened"])
def test_padding_counts_in_no_representation_of_words(positions: str) -> None:
    network = TokenAttention((5,), 3, num_tokens=20, width=4).eval()
    tokens = torch.tensor([[4, 7, 2, 0, 0], [5, 6, 2, 9, 3], [3, 0, 0, 0, 0]])
    layers = layers_of(network)
    before = layer_outputs(network, layers, [tokens], positions).outputs
    with torch.no_grad():
        network.tokens.weight[0] = 7.0
    after = layer_outputs(network, layers, [tokens], positions).outputs
    for name in ("tokens", "attention", "attention.out_proj", "norm", "fc1", "fc2"):
        torch.testing.assert_close(before[name], after[name], msg=name)
    alone = layer_outputs(network, layers, [tokens[:1, :3].expand(3, 3)], positions).outputs
    if positions == "pooled":
        torch.testing.assert_close(before["attention"][0], alone["attention"][0])
