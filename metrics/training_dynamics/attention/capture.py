"""Attention weights of a module: read where it shows them, computed again where a fused kernel hides them."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# What modules call the weights that they keep.
_NAMES = ("attention_weights", "attn_weights", "attention_probs", "attn_probs", "attn_map", "attention_map")

# A function of a module, its inputs and its output that returns weights, (n, H, Q, K), (n, Q, K) or (Q, K), or None.
Accessor = Callable[[nn.Module, tuple[Any, ...], Any], Tensor | None]


def weights_of_torch(
    module: nn.MultiheadAttention, args: tuple[Any, ...], kwargs: Mapping[str, Any], most: int
) -> Tensor:
    """Return the weights of ``nn.MultiheadAttention``, shape (n, H, Q, K), computed from its inputs without dropout.

    Its own output is left alone: with ``need_weights=False``, the default of transformer layers, it has no weights.

    Args:
        module: the module.
        args: of its forward pass.
        kwargs: of its forward pass.
        most: examples to look at, the first ones.
    """
    names = (
        "query",
        "key",
        "value",
        "key_padding_mask",
        "need_weights",
        "attn_mask",
        "average_attn_weights",
        "is_causal",
    )
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    query, key, value = (cast(Tensor, given[name]).detach() for name in names[:3])
    if query.is_nested:
        raise ValueError("nested tensors are not looked at; give a padded batch with key_padding_mask")
    if query.ndim == 2:
        query, key, value = (tensor.unsqueeze(1) for tensor in (query, key, value))
    elif module.batch_first:
        query, key, value = (tensor.transpose(0, 1) for tensor in (query, key, value))
    examples = min(most, query.shape[1])
    padding, mask = given.get("key_padding_mask"), given.get("attn_mask")
    if padding is not None:
        padding = (padding.unsqueeze(0) if padding.ndim == 1 else padding)[:examples]
    if mask is not None and mask.ndim == 3:
        mask = mask[: examples * module.num_heads]
    same = module._qkv_same_embed_dim
    separate = {} if same else {f"{x}_proj_weight": getattr(module, f"{x}_proj_weight") for x in "qkv"}
    query, key, value = (tensor[:, :examples] for tensor in (query, key, value))
    with torch.no_grad():
        _, weights = F.multi_head_attention_forward(
            query, key, value, module.embed_dim, module.num_heads, module.in_proj_weight, module.in_proj_bias,
            module.bias_k, module.bias_v, module.add_zero_attn, 0.0, module.out_proj.weight, module.out_proj.bias,
            training=False, key_padding_mask=padding, need_weights=True, attn_mask=mask,
            use_separate_proj_weight=not same, average_attn_weights=False, **separate,
        )  # fmt: skip
    return without_padded_rows(cast(Tensor, weights), padding)


def without_padded_rows(weights: Tensor, padding: Tensor | None) -> Tensor:
    """Return weights with NaN in the rows of places that are padding, where rows and columns are the same places.

    Args:
        weights: shape (n, H, L, L).
        padding: true where there is padding, bool or −∞, shape (n, L); None for nowhere.

    Examples:
        >>> without_padded_rows(torch.full((1, 1, 2, 2), 0.5), torch.tensor([[False, True]])).tolist()
        [[[[0.5, 0.5], [nan, nan]]]]
    """
    if padding is None or weights.shape[-1] != weights.shape[-2] or padding.shape != weights[:, 0, 0].shape:
        return weights
    hidden = padding if padding.dtype == torch.bool else padding < -1
    return weights.masked_fill(hidden[:, None, :, None].to(weights.device), float("nan"))


def weights_shown(module: nn.Module, output: Any) -> Tensor | None:
    """Return the weights that a module shows, as an attribute or beside its output, None if it shows none."""
    candidates = [getattr(module, name, None) for name in _NAMES]
    if isinstance(output, tuple | list):
        candidates += list(output[1:])
    for found in candidates:
        if isinstance(found, Tensor) and looks_like_weights(found):
            return found
    return None


def looks_like_weights(found: Tensor) -> bool:
    """Say whether a tensor is of weights: rows that are not negative and sum to 1, or to 0 where all is masked.

    Examples:
        >>> looks_like_weights(torch.full((1, 2, 4, 4), 0.25)), looks_like_weights(torch.zeros(2, 3))
        (True, False)
    """
    if found.ndim not in (3, 4) or not found.is_floating_point() or not found.numel():
        return False
    rows = found.detach()[:1].float().sum(-1)
    fits = ((rows - 1).abs() < 0.02) | (rows == 0) | rows.isnan()
    return bool((found.detach()[:1] >= 0).logical_or(found.detach()[:1].isnan()).all()) and bool(fits.all())


def shaped(found: Tensor, most: int) -> Tensor:
    """Return weights as (n, H, Q, K): of three axes the first is examples, of two there is one example and head.

    Examples:
        >>> shaped(torch.zeros(5, 3, 4), 2).shape
        torch.Size([2, 1, 3, 4])
    """
    found = found.detach()
    if found.ndim == 2:
        found = found[None, None]
    elif found.ndim == 3:
        found = found.unsqueeze(1)
    return found[:most]


def is_hugging_face(model: nn.Module) -> bool:
    """Say whether a model is one of Hugging Face's transformers, which give their weights when they are asked."""
    return hasattr(model, "config") and hasattr(model, "set_attn_implementation")


def weights_of_hugging_face(
    model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], most: int
) -> dict[str, Tensor]:
    """Return name -> weights of each layer of a Hugging Face model, from a second pass over the first examples.

    The model is as before afterwards: mode, attention implementation, state of the random generators.
    """
    mine = [_first(value, most) for value in args]
    named = {key: _first(value, most) for key, value in kwargs.items() if key not in ("labels", "output_attentions")}
    before, training = model.config._attn_implementation, model.training
    devices = [tensor.device for tensor in model.parameters() if tensor.is_cuda][:1]
    try:
        model.eval()
        model.set_attn_implementation("eager")
        with torch.no_grad(), torch.random.fork_rng(devices):
            output = model(*mine, **{**named, "output_attentions": True, "return_dict": True})
    finally:
        model.set_attn_implementation(before)
        model.train(training)
    mask = named.get("attention_mask")
    padding = mask == 0 if isinstance(mask, Tensor) and mask.ndim == 2 else None
    found: dict[str, Tensor] = {}
    for kind in ("attentions", "encoder_attentions", "decoder_attentions", "cross_attentions"):
        layers = getattr(output, kind, None) or ()
        hidden = padding if kind in ("attentions", "encoder_attentions") else None
        for at, weights in enumerate(layers):
            if isinstance(weights, Tensor):
                found[f"{kind}.{at}"] = without_padded_rows(weights.detach(), hidden)
    return found


def _first(value: Any, most: int) -> Any:
    return value[:most] if isinstance(value, Tensor) and value.ndim > 0 else value
