"""Sampled parameters: the same places of every layer in every model, so that models of any size can be compared."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fedlayers.core.seeding import derive

ALL = "All"


def sampled_parameters(
    model: Mapping[str, Tensor], layers: Mapping[str, Sequence[str]], count: int = 1000, seed: int = 0
) -> dict[str, Tensor]:
    """Return ``count`` parameters of each layer and of the whole model, at places that depend on the seed alone.

    The same model always gives the same places: parameters of other rounds and clients are comparable, entry by entry.

    Args:
        model: name -> tensor.
        layers: layer -> the names of its parameters, in order.
        count: how many of each; a layer with fewer gives all of its own.
        seed: decides on the places.

    Returns:
        Layer, and last ``All`` -> shape (at most count,), float64, in the order of the places.

    Raises:
        ValueError: there are no layers, or a layer has no parameters in the model.

    Examples:
        >>> import torch
        >>> model = {"a.weight": torch.arange(4.0), "b.weight": torch.arange(2.0)}
        >>> found = sampled_parameters(model, {"a": ["a.weight"], "b": ["b.weight"]}, count=3)
        >>> {layer: len(values) for layer, values in found.items()}
        {'a': 3, 'b': 2, 'All': 3}
    """
    if not layers:
        raise ValueError("layers must name 1 layer or more, got none")
    parts = {}
    for layer, names in layers.items():
        absent = [name for name in names if name not in model]
        if absent or not names:
            raise ValueError(f"layers must name parameters of the model, got {absent or 'none'} for {layer}")
        parts[layer] = torch.cat([model[name].detach().double().flatten() for name in names])
    parts[ALL] = torch.cat(list(parts.values()))
    return {
        layer: values[_places(len(values), count, derive(seed, layer)).to(values.device)]
        for layer, values in parts.items()
    }


def _places(size: int, count: int, seed: int) -> Tensor:
    if size <= count:
        return torch.arange(size)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    return order[:count].sort().values
