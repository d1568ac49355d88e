"""From the ``model`` part of a configuration to a network that is known to fit the data."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fedlayers.config.building import build_plugin
from fedlayers.core.checks import check
from fedlayers.core.errors import UserError
from fedlayers.core.kinds.tokens import blank, is_tokens
from fedlayers.core.layers import buffers_kept
from fedlayers.core.seeding import global_state
from fedlayers.models.parts import SizeLimit, check_kernel, check_parameters, room_for_weights, with_usable_parts


def build_model(
    model: Mapping[str, Any], shape: tuple[int, ...], num_classes: int, seed: int, words: int = 0
) -> nn.Module:
    """Return the configured network, its weights drawn from the seed, once it has passed a trial run.

    Args:
        model: ``_target_`` (import path of an ``nn.Module`` class, or of a function that returns a module)
            and its arguments. ``name`` is left out. ``input_shape``, ``num_classes``, ``anchor_seed``, the run's seed,
            and, for token data, ``num_tokens`` are filled in if the target takes them and they are not given.
        shape: one example's shape.
        num_classes: the number of classes.
        seed: the run's seed; equal seeds give equal weights, and global generators are left as they were.
        words: the size of the vocabulary; 0 if examples are no tokens.

    Returns:
        The network on the CPU, in eval mode.

    Raises:
        UserError: if the target cannot be had, refuses its arguments, or does not map two examples of this
            shape (all zeros) to logits (2, num_classes).
    """
    filled_in = {"input_shape": list(shape), "num_classes": num_classes, "anchor_seed": seed}
    filled_in |= {"num_tokens": words} if words else {}
    with global_state(seed, "model"):
        with SizeLimit(room_for_weights()):
            built = build_plugin("model", model, nn.Module, "something that gives a torch module", filled_in=filled_in)
        network = with_usable_parts(built)
        _try_out(network, blank(2, shape, words > 0), num_classes)
    check_parameters(network)
    return network


def _try_out(network: nn.Module, examples: Tensor, num_classes: int) -> None:
    """Run two examples through the network, which also gives lazy layers their sizes."""
    network.eval()
    name = type(network).__name__
    handles = [part.register_forward_pre_hook(check_kernel) for part in network.modules()]
    try:
        with buffers_kept(network), torch.no_grad():
            logits = network(examples)
    except UserError:
        raise
    except Exception as error:  # whatever the network does not like about its input
        raise UserError(
            f"model must take {_told(examples)}, got an error from {name}: {_first_line(error)}; "
            "choose a model for such examples, or change its arguments"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    check(
        found == (2, num_classes),
        "model",
        f"a network that gives 2 examples of {num_classes} classes logits of shape (2, {num_classes})",
        found,
        f"set the number of outputs of {name} to the data set's classes",
    )


def _told(examples: Tensor) -> str:
    shape = tuple(examples.shape[1:])
    return f"tokens, integers of shape {shape}" if is_tokens(examples) else f"examples of shape {shape}"


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
