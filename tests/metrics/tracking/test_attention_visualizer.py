"""Attention weights of any module, as it attends, and what they say of each head."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fedlayers
from metrics.tracking.isolation import TrackingWarning
from metrics.training_dynamics import AttentionVisualizer
from metrics.training_dynamics.attention.statistics import head_statistics, rollout
from tests.support.tracked_training import TwoHeads, answers, step

TOKENS = torch.randn(5, 6, 8, generator=torch.Generator().manual_seed(0))
PADDING = torch.arange(6) >= torch.tensor([6, 4, 6, 2, 5]).unsqueeze(1)


def seen(model: nn.Module, folder: Path, *inputs: Any, **settings: Any) -> AttentionVisualizer:
    keywords = settings.pop("keywords", {})
    visualizer = AttentionVisualizer(model, folder / "dynamics", **settings)
    with visualizer.hooks():
        model(*inputs, **keywords)
    visualizer.update(epoch=1)
    return visualizer


def attention(**settings: Any) -> nn.MultiheadAttention:
    torch.manual_seed(0)
    return nn.MultiheadAttention(8, 2, **{"batch_first": True, **settings}).eval()


@pytest.mark.parametrize("case", ["plain", "padding", "causal", "other keys", "places first", "one example", "bias"])
def test_weights_are_those_of_the_module_itself_though_it_returns_none(case: str, tmp_path: Path) -> None:
    cases: dict[str, dict[str, Any]] = {
        "places first": {"batch_first": False},
        "other keys": {"kdim": 3, "vdim": 3},
        "bias": {"add_bias_kv": True, "add_zero_attn": True},
    }
    settings = cases.get(case, {})  # fmt: skip
    model = attention(**settings)
    query = TOKENS[0] if case == "one example" else TOKENS
    key = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(1)) if case == "other keys" else query
    keywords: dict[str, Any] = {}
    if case == "padding":
        keywords["key_padding_mask"] = PADDING
    if case == "causal":
        keywords |= {"attn_mask": nn.Transformer.generate_square_subsequent_mask(6), "is_causal": True}
    _, expected = model(query, key, key, **keywords, need_weights=True, average_attn_weights=False)
    found = seen(model, tmp_path, query, key, key, keywords={**keywords, "need_weights": False})
    maps = found.history[1][""].maps
    # The first example.
    expected = expected if case == "one example" else expected[0]
    assert maps == pytest.approx(expected.detach().numpy(), abs=1e-6)


def test_fused_layers_in_eval_mode_show_their_weights_and_answer_as_before(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    visualizer = AttentionVisualizer(model, tmp_path / "dynamics")
    with torch.no_grad():
        plain = model(TOKENS, src_key_padding_mask=PADDING)
        with visualizer.hooks():
            hooked = model(TOKENS, src_key_padding_mask=PADDING)
        again = model(TOKENS, src_key_padding_mask=PADDING)
    kept = ~PADDING
    assert torch.allclose(hooked[kept], plain[kept], atol=1e-5) and torch.equal(again[kept], plain[kept])
    visualizer.update(1)
    layers = visualizer.history[1]
    assert list(layers) == ["layers.0.self_attn", "layers.1.self_attn"]
    # Nobody attends to padding, and padding does not count: the second example has four places.
    assert layers["layers.0.self_attn"].example[1, :4, 4:].abs().max() == 0
    assert layers["layers.0.self_attn"].example[1, 4:].isnan().all()


class Keeps(nn.Module):
    """Keeps its weights as an attribute, or returns them, or hides them."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.inner = way, nn.Linear(8, 8)
        self.attention_weights: Tensor | None = None

    def forward(self, tokens: Tensor) -> Any:
        weights = (self.inner(tokens) @ tokens.transpose(1, 2)).softmax(-1)
        self.hidden = weights
        if self.way == "attribute":
            self.attention_weights = weights
        return (weights @ tokens, weights) if self.way == "returns" else weights @ tokens


@pytest.mark.parametrize("way", ["attribute", "returns", "accessor"])
def test_modules_that_show_their_weights_or_are_shown(way: str, tmp_path: Path) -> None:
    accessor = None
    if way == "accessor":
        accessor = lambda module, inputs, output: getattr(module, "hidden", None)  # noqa: E731
    model: Any = nn.Sequential(nn.Identity(), Keeps(way))
    found = seen(model, tmp_path, TOKENS, accessor=accessor)
    assert list(found.history[1]) == ["1"]
    assert found.history[1]["1"].maps[0] == pytest.approx(model[1].hidden[0].detach().numpy(), abs=1e-6)


def test_a_focused_head_stays_focused_beside_one_that_looks_everywhere() -> None:
    weights = torch.stack([torch.eye(4), torch.full((4, 4), 0.25)]).expand(3, 2, 4, 4)
    found = head_statistics(weights)
    assert found.entropy.tolist() == pytest.approx([0.0, np.log(4)])
    assert found.span.tolist() == pytest.approx([1.0, 4.0])
    assert found.distance.tolist() == pytest.approx([0.0, 1.25])
    assert found.peak.tolist() == pytest.approx([1.0, 0.25])
    masked = torch.full((1, 1, 3, 3), torch.nan)
    masked[0, 0, 0] = torch.tensor([0.5, 0.5, 0.0])
    assert head_statistics(masked).span.tolist() == pytest.approx([2.0])


def test_rollout_multiplies_layers_and_keeps_rows() -> None:
    layers = [torch.rand(2, 5, 5, generator=torch.Generator().manual_seed(k)).softmax(-1) for k in range(3)]
    expected = torch.eye(5)
    for weights in layers:
        expected = (0.5 * weights + 0.5 * torch.eye(5)) @ expected
    assert torch.allclose(rollout(layers), expected, atol=1e-6)
    assert torch.allclose(rollout(layers).sum(-1), torch.ones(2, 5))
    with pytest.raises(ValueError, match="layers must be one or more maps, got none"):
        rollout([])


def test_epochs_are_apart_and_their_tables_those_of_a_run(tmp_path: Path) -> None:
    model = TwoHeads()
    visualizer = AttentionVisualizer(model, tmp_path / "dynamics", every=2)
    visualizer.register_hooks()
    for epoch in (1, 2):
        for _ in range(3):
            step(model)
        visualizer.update(epoch)
    assert visualizer.history[2]["encoder.layers.1.self_attn"].captures == 2
    tables = fedlayers.read(visualizer.save())
    rows = tables.records[tables.records["metric"] == "attention_entropy"]
    assert set(rows["round"]) == {1, 2} and set(rows["subject"]) == {"head 0", "head 1"}
    maps = tables.spectra[(tables.spectra["metric"] == "attention_weights") & (tables.spectra["round"] == 2)]
    assert len(maps) == 2 * 2 * 4 and all(abs(sum(row) - 1) < 1e-5 for row in maps["y"])
    assert len(tables.spectra[tables.spectra["metric"] == "attention_rollout"]) == 2 * 4
    assert np.array(visualizer.get_metrics()["rollout"]).sum(1) == pytest.approx(np.ones(4), abs=1e-5)


def test_training_is_as_without_and_copies_have_no_hooks(tmp_path: Path) -> None:
    plain, followed = TwoHeads(), TwoHeads()
    visualizer = AttentionVisualizer(followed, tmp_path / "dynamics", every=1)
    visualizer.register_hooks()
    for model in (plain, followed):
        for _ in range(3):
            step(model)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), followed.parameters(), strict=True))
    for other in (copy.deepcopy(followed), pickle.loads(pickle.dumps(followed))):
        answers(other)
    visualizer.update(1)
    assert visualizer.history[1]["encoder.layers.0.self_attn"].captures == 3
    visualizer.remove_hooks()
    assert not any(module._forward_hooks for module in followed.modules())


def test_long_sequences_are_kept_in_blocks(tmp_path: Path) -> None:
    found = seen(attention(), tmp_path, *[torch.randn(1, 70, 8)] * 3, most_places=16)
    maps = found.history[1][""].maps
    assert maps.shape == (2, 16, 16) and maps.sum(-1) == pytest.approx(np.ones((2, 16)), abs=1e-5)


def test_without_attention_it_says_what_to_call(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    with pytest.warns(TrackingWarning, match="no attention was seen in epoch 1: call register_hooks before"):
        found = seen(model, tmp_path, torch.zeros(2, 3))
    assert not found.can_see
    with pytest.warns(TrackingWarning, match="there is no attention to show yet"):
        found.visualize_attention()
    with found.hooks(), pytest.warns(TrackingWarning, match="registered already"):
        found.register_hooks()
    with pytest.raises(ValueError, match=r"modules must be names of the model's modules .*, got 'encoder'"):
        AttentionVisualizer(model, tmp_path, modules=["encoder"])
    with pytest.raises(ValueError, match="every must be 1 or more, got 0"):
        AttentionVisualizer(model, tmp_path, every=0)


def test_an_accessor_that_fails_is_told_and_the_pass_goes_on(tmp_path: Path) -> None:
    def accessor(*_: object) -> Tensor:
        raise KeyError("weights")

    visualizer = AttentionVisualizer(TwoHeads(), tmp_path / "dynamics", accessor=accessor)
    with (
        visualizer.hooks(),
        pytest.warns(TrackingWarning, match=r"_look failed with KeyError \('weights'\): this part"),
    ):
        outputs, _ = answers(visualizer._model)
    assert outputs["crop"].shape == (48, 5)
