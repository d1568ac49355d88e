"""``AttentionVisualizer``: where each head of each attention layer looks, over training."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fedlayers.core.layers import layers_of
from fedlayers.core.quantities import Facts
from metrics.tracking.arguments import epoch_number, module_given
from metrics.tracking.blocks import Hooked
from metrics.tracking.drawing import file_name
from metrics.tracking.isolation import TrackingMistake, isolated
from metrics.tracking.tracker import Tracker
from metrics.training_dynamics.attention import figures
from metrics.training_dynamics.attention.capture import Accessor
from metrics.training_dynamics.attention.listener import AttentionListener, can_attend
from metrics.training_dynamics.attention.rows import FACTS, attention_rows
from metrics.training_dynamics.attention.statistics import HeadStatistics, head_statistics, pooled, rollout

_QUANTITIES = ("entropy", "span", "distance", "peak")


@dataclass
class LayerAttention:
    """One attention layer in one epoch.

    Attributes:
        statistics: quantity -> sum over captures of each head's mean, shape (H,).
        captures: how many passes were looked at.
        maps: of the first example of the last capture, shape (H, Q, K).
        example: the mean over heads of all examples of that capture, shape (n, Q, K).
    """

    statistics: dict[str, np.ndarray] = field(default_factory=dict)
    captures: int = 0
    maps: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0)))
    example: Tensor = field(default_factory=lambda: torch.zeros(0, 0, 0))

    def mean(self, quantity: str) -> np.ndarray:
        """Return each head's mean over captures, shape (H,)."""
        return np.asarray(self.statistics[quantity] / max(self.captures, 1))


class AttentionVisualizer(Hooked, Tracker):
    """Looks at a forward pass now and then: the first one of an epoch, then every ``every``-th, of a few examples.

    Found by itself: ``nn.MultiheadAttention`` (also inside transformer layers, whose fused kernels return no weights),
    Hugging Face models, and modules that keep their weights as ``attention_weights`` or the like or return them beside
    their output. Anything else by ``accessor``.

    Args:
        model: the model that trains.
        save_dir: the folder for figures and files.
        accessor: a function of module, inputs and output that returns the weights of a module, or None if it has none.
        modules: names of the modules to look at; None for all that attend.
        every: forward passes from one look to the next.
        examples: how many examples of a batch are looked at.
        most_places: maps of more rows or columns are kept in blocks.
    """

    facts: ClassVar[tuple[Facts, ...]] = FACTS
    file: ClassVar[str] = "attention_metrics.json"

    def __init__(
        self,
        model: nn.Module,
        save_dir: str | Path = "visualizations/training_dynamics",
        accessor: Accessor | None = None,
        modules: Iterable[str] | None = None,
        every: int = 100,
        examples: int = 8,
        most_places: int = 128,
    ) -> None:
        model = module_given(model)
        for name, number in (("every", every), ("examples", examples), ("most_places", most_places)):
            if number < 1:
                raise ValueError(f"{name} must be 1 or more, got {number}")
        chosen = None if modules is None else list(modules)
        strange = [name for name in chosen or [] if name not in dict(model.named_modules())]
        if strange:
            raise ValueError(f"modules must be names of the model's modules (named_modules), got {strange[0]!r}")
        super().__init__(save_dir)
        self._model, self._has_accessor, self.layers = model, accessor is not None, layers_of(model)
        self._listener = AttentionListener(model, self._keep, self._is_due, accessor, chosen, examples)
        self._every, self._places = every, most_places
        self._passes: dict[str, int] = {}
        self._epoch: int | None = None
        self._now: dict[str, LayerAttention] = {}
        self.history: dict[int, dict[str, LayerAttention]] = {}

    @isolated
    def register_hooks(self) -> None:
        """Begin to look: call it before the forward pass."""
        if self._listener.is_listening:
            raise TrackingMistake("hooks are registered already: call remove_hooks before register_hooks again")
        self._listener.start(self._look)

    @isolated
    def remove_hooks(self) -> None:
        """Stop looking; what was seen stays."""
        self._listener.stop()

    @isolated
    def _look(self, *seen: Any) -> None:
        self._listener.look(*seen)

    def _is_due(self, name: str) -> bool:
        passes = self._passes.get(name, 0)
        self._passes[name] = passes + 1
        return passes % self._every == 0

    def _keep(self, layer: str, weights: Tensor) -> None:
        one = self._now.setdefault(layer, LayerAttention())
        found: HeadStatistics = head_statistics(weights)
        for quantity in _QUANTITIES:
            values = getattr(found, quantity).numpy()
            one.statistics[quantity] = one.statistics.get(quantity, 0.0) + values
        one.captures += 1
        one.maps = pooled(weights[0], self._places).numpy()
        one.example = pooled(weights.mean(1), self._places)

    @isolated
    def start_epoch(self, epoch: int) -> None:
        """Say which epoch the coming passes belong to; :meth:`update` says it afterwards, too."""
        self._epoch, self._passes, self._now = epoch_number(epoch), {}, {}

    @isolated
    def update(self, epoch: int | None = None, batch: int | None = None) -> None:
        """Turn what was seen into an epoch's statistics and maps.

        Args:
            epoch: its number; that of ``start_epoch``, or the next one, if it is not given.
            batch: a batch within the epoch: then the epoch goes on.
        """
        if batch is not None:
            return
        number = epoch_number(epoch) if epoch is not None else self._epoch
        number = 1 + max(self.history, default=0) if number is None else number
        self._passes, self._epoch = {}, None
        if not self._now:
            raise TrackingMistake(
                f"no attention was seen in epoch {number}: call register_hooks before the forward pass, or give an "
                "accessor if the model attends in a way of its own"
            )
        self.history[number], self._now = self._now, {}
        places = {layer.name: layer.index for layer in self.layers}
        self._rows[number] = attention_rows(self.history[number], rollout_of(self.history[number]), places)

    @property
    def can_see(self) -> bool:
        """Whether any module of the model is known to attend, before a forward pass has shown it."""
        return self._has_accessor or can_attend(self._model)

    def content(self) -> dict[str, Any]:
        """Return of every epoch and layer each head's statistics, and of the last one its maps and the rollout."""
        last = max(self.history, default=None)
        return {
            "epochs": [
                {"epoch": epoch, "layers": {name: _as_dictionary(one) for name, one in layers.items()}}
                for epoch, layers in sorted(self.history.items())
            ],
            "maps": {} if last is None else {name: one.maps for name, one in self.history[last].items()},
            "rollout": None if last is None else rollout_of(self.history[last]),
        }

    def draw(self) -> dict[str, Callable[[], Any]]:
        """Return the figures that can be drawn: a map, all heads, both over time, statistics, rollout."""
        if not self.history:
            return {}
        epoch = max(self.history)
        found: dict[str, Callable[[], Any]] = {"attention_statistics": partial(figures.statistics, self.history)}
        for layer, one in self.history[epoch].items():
            stem = file_name(layer) or "model"
            found[f"attention_map_e{epoch}_{stem}"] = partial(figures.single_map, layer, epoch, one.maps)
            found[f"attention_heads_e{epoch}_{stem}"] = partial(figures.heads, layer, epoch, one.maps)
            maps = {number: layers[layer].maps for number, layers in self.history.items() if layer in layers}
            found[f"attention_evolution_{stem}"] = partial(figures.evolution, layer, maps)
        together = rollout_of(self.history[epoch])
        if together is not None:
            found[f"attention_rollout_e{epoch}"] = partial(figures.rollout_map, epoch, together)
        return found

    @isolated
    def visualize_attention(self) -> list[Path]:
        """Draw the figures into ``save_dir``, write tables and JSON beside them, and return the figures' files."""
        if not self.history:
            raise TrackingMistake("there is no attention to show yet: call register_hooks, train, and update(epoch=…)")
        return self.write_all()


def rollout_of(layers: Mapping[str, LayerAttention]) -> np.ndarray | None:
    """Return the rollout of the first example over all layers, None if they do not look from and at the same places."""
    maps = [one.example[:1] for one in layers.values()]
    if not maps or any(one.shape != maps[0].shape or one.shape[-1] != one.shape[-2] for one in maps):
        return None
    return np.asarray(rollout(maps)[0].numpy())


def _as_dictionary(one: LayerAttention) -> dict[str, Any]:
    means = {quantity: one.mean(quantity) for quantity in _QUANTITIES}
    return {"captures": one.captures, "heads": len(one.maps), "places": list(one.maps.shape[1:]), **means}
