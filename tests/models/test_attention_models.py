"""Networks of attention: padding changes nothing, maps can be had, mistakes are told."""

from typing import Any

import pytest
import torch
from torch import nn

from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of
from fedlayers.models.playerfl_isic import PLayerFLISIC
from fedlayers.models.playerfl_text import PLayerFLText
from fedlayers.models.token_attention import TokenAttention
from fedlayers.models.vision_transformer import AttentionBlock, VisionTransformer
from metrics.probe.activations import layer_outputs


def words() -> TokenAttention:
    torch.manual_seed(0)
    return TokenAttention((6,), 3, num_tokens=20, width=8).eval()


def test_padding_and_what_stands_there_change_nothing() -> None:
    network, tokens = words(), torch.tensor([[4, 7, 2, 0, 0, 0]])
    with torch.no_grad():
        before = network(tokens)
        network.tokens.weight[0] = 5.0
        network.places.weight[3:] = -9.0
        assert torch.allclose(network(tokens), before, atol=1e-6)
        assert torch.allclose(network(tokens[:, :3]), before, atol=1e-6)
        assert not torch.allclose(network(torch.tensor([[4, 7, 2, 1, 0, 0]])), before, atol=1e-3)


def test_more_padding_changes_no_mean_that_is_compared() -> None:
    network = words()
    long = torch.tensor([[4, 7, 2, 0, 0, 0], [5, 6, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0]])
    short = long[:, :3]
    found, padded = (layer_outputs(network, layers_of(network), [own], "pooled").outputs for own in (short, long))
    assert list(found) == list(padded) and len(found) == 8
    for name, rows in found.items():
        torch.testing.assert_close(padded[name], rows, atol=1e-6, rtol=1e-5)


def test_the_text_network_of_the_paper_reads_its_answer_at_the_first_position() -> None:
    torch.manual_seed(0)
    network, tokens = PLayerFLText((5,), 2, num_tokens=9, width=4).eval(), torch.tensor([[3, 7, 2, 0, 0]])
    x = network.tokens(tokens) + network.places.weight
    x = x + network.attention(x[:, :1], x[:, :3], x[:, :3])[0]
    x = x[:, 0] + network.resid(network.fc1(x[:, 0]).relu())
    torch.testing.assert_close(network(tokens), network.fc2(x))


def test_the_embedding_of_padding_has_no_gradient() -> None:
    network = words().train()
    network(torch.tensor([[4, 7, 2, 0, 0, 0]])).sum().backward()
    assert network.tokens.weight.grad is not None and network.tokens.weight.grad[0].abs().max() == 0
    assert network.tokens.weight.grad[7].abs().max() > 0


@pytest.mark.parametrize("network", [words(), VisionTransformer((1, 8, 8), 3)])
def test_attention_is_torchs_own_and_gives_its_map_when_asked(network: nn.Module) -> None:
    attention = next(part for part in network.modules() if isinstance(part, nn.MultiheadAttention))
    assert type(attention) is nn.MultiheadAttention
    x = torch.randn(2, 4, attention.embed_dim)
    _, weights = attention(x, x, x, average_attn_weights=False)
    assert torch.allclose(weights.sum(-1), torch.ones(2, attention.num_heads, 4), atol=1e-6)


def test_a_vision_transformer_is_the_mean_over_patches_of_what_stands_in_the_paper() -> None:
    torch.manual_seed(0)
    network, images = VisionTransformer((3, 8, 12), 5, blocks=1).eval(), torch.randn(2, 3, 8, 12)
    patches = images.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).reshape(2, 6, -1)
    block, width = next(part for part in network.modules() if isinstance(part, AttentionBlock)), 32
    weight, bias = dict(network.patches.pixels.named_parameters()).values()
    x = patches @ weight.reshape(width, -1).T + bias
    x = x + network.patches.places.weight
    given = block.norm1(x)
    x = x + block.attention(given, given, given)[0]
    x = x + block.fc2(nn.functional.gelu(block.fc1(block.norm2(x))))
    expected = network.head(network.mean.norm(x).mean(1))
    assert torch.allclose(network(images), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: TokenAttention((6,), 3), r"model=token_attention must have a data set of tokens, .* got examples of"),
        (lambda: TokenAttention((6,), 3, 20, width=9), r"model.width must be a multiple of model.heads=2, got 9"),
        (lambda: TokenAttention((6,), 3, 20, dropout=1.0), r"model.dropout must be in \[0, 1\), got 1.0"),
        (lambda: PLayerFLText((6,), 3), r"model=playerfl_text must have a data set of tokens"),
        (lambda: PLayerFLText((6,), 3, 20, width=0), r"model.width must be 1 or more, got 0"),
        (lambda: PLayerFLISIC((1, 32, 32), 3, [4, 4]), r"model.channels must be a list of three or more numbers"),
        (lambda: PLayerFLISIC((1, 32, 32), 3, hidden=0), r"model.hidden must be 1 or more, got 0"),
        (lambda: PLayerFLISIC((1, 32, 32), 3, dropout=1), r"model.dropout must be in \[0, 1\), got 1"),
        (lambda: VisionTransformer((1, 8, 8), 3, width=5), r"model.width must be a multiple of model.heads=2, got 5"),
        (lambda: VisionTransformer((1, 8, 8), 3, patch=3), r"model.patch must be a divisor of both sides .*8 and 8"),
        (lambda: VisionTransformer((1, 8, 8), 3, patch=0), r"model.patch must be 1 or more, got 0"),
        (lambda: VisionTransformer((1, 8, 8), 3, blocks=0), r"model.blocks must be 1 or more, got 0"),
    ],
)
def test_what_does_not_fit_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()
