"""Which tokens look at which: the attention maps of every layer of a model, and their product over the layers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fedlayers.core.attention_kernels import without_fast_path
from fedlayers.core.kinds.tokens import mask_of
from metrics.predictions.predicting import evaluation_mode
from metrics.training_dynamics.attention.statistics import rollout


def attention_maps(module: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """Return the attention of each ``nn.MultiheadAttention`` of a model: softmax(Q Kᵀ / √d), a map a head.

    The model is in evaluation mode and runs the same computation as always, only that its attention layers tell their
    weights; nothing stays behind.

    Args:
        module: takes the inputs.
        inputs: tokens, or features, shape (n, …).

    Returns:
        Name of the layer -> shape (n, heads, queries, keys); rows sum to 1. In the order in which they are used.

    Raises:
        ValueError: the model has no such layer.

    References:
        Vaswani et al. 2017, Attention is all you need, arXiv 1706.03762.

    Examples:
        >>> import torch
        >>> model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        >>> {name: tuple(found.shape) for name, found in attention_maps(model, torch.randn(3, 5, 8)).items()}
        {'self_attn': (3, 2, 5, 5)}
    """
    layers = {name: part for name, part in module.named_modules() if isinstance(part, nn.MultiheadAttention)}
    if not layers:
        raise ValueError("module must have a layer of nn.MultiheadAttention, got none")
    found: dict[str, Tensor] = {}
    with evaluation_mode(module), without_fast_path(), torch.no_grad(), _telling(layers, found):
        module(inputs)
    return found


@contextmanager
def _telling(layers: dict[str, nn.MultiheadAttention], found: dict[str, Tensor]) -> Iterator[None]:
    handles = []
    for name, layer in layers.items():

        def ask(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            return args, {**kwargs, "need_weights": True, "average_attn_weights": False}

        def listen(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
            found[name] = output[1].detach()

        handles += [layer.register_forward_pre_hook(ask, with_kwargs=True), layer.register_forward_hook(listen)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def attention_rollout(maps: list[Tensor]) -> Tensor:
    """Return how much of each input token reaches each place of the last layer, over all layers.

    The product, from the first layer to the last, of ½ (A + I), A the mean over heads, I for what goes past the
    attention.

    Args:
        maps: of each layer in order, each of shape (n, heads, tokens, tokens), rows summing to 1.

    Returns:
        Shape (n, tokens, tokens); rows sum to 1.

    Raises:
        ValueError: there are no maps.

    References:
        Abnar & Zuidema 2020, Quantifying attention flow in transformers, arXiv 2005.00928.

    Examples:
        >>> import torch
        >>> attention_rollout([torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])]).tolist()
        [[[0.5, 0.5], [0.0, 1.0]]]
    """
    if not maps:
        raise ValueError("maps must hold those of 1 layer or more, got none")
    return rollout([layer.mean(1) for layer in maps])


def tokens_reached(module: nn.Module, inputs: Tensor) -> Tensor:
    """Return how much of each token the mean over an example's tokens holds after all layers of attention.

    The mean over places of :func:`attention_rollout`, padding left out, as networks do that classify the mean.

    Args:
        module: a model whose layers of attention have all tokens as queries and keys.
        inputs: tokens (n, length), or images (n, channels, height, width) that the model divides into patches.

    Returns:
        Shape (n, tokens); rows sum to 1. Padding has 0.

    Raises:
        ValueError: the model has no attention, or not of all tokens to all.
    """
    maps = list(attention_maps(module, inputs).values())
    if len({one.shape[-2:] for one in maps}) > 1 or maps[0].shape[-1] != maps[0].shape[-2]:
        raise ValueError(f"attention must be of all tokens to all, got maps of {[tuple(one.shape) for one in maps]}")
    flow = attention_rollout(maps)
    known = mask_of(inputs)
    places = torch.ones(flow.shape[:2], device=flow.device) if known is None else known.to(flow.dtype)
    found: Tensor = (places[:, :, None] * flow).sum(1) / places.sum(1, keepdim=True).clamp(min=1)
    return found
