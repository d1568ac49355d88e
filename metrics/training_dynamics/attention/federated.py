"""Attention in a federation: where each head of each client's model looks, on the probe."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedlayers.core.errors import UserError
from metrics.base import ClientView, Measurement, Metric, at, measured
from metrics.training_dynamics.attention.listener import AttentionListener, can_attend
from metrics.training_dynamics.attention.rows import FACTS, map_rows, rollout_rows
from metrics.training_dynamics.attention.statistics import head_statistics, pooled, rollout

_QUANTITIES = ("entropy", "span", "distance", "peak")


class AttentionStatistics(Metric):
    """Entropy, span, distance and largest weight of each head's rows, ``subject`` the head, on examples of the probe.

    Means over examples and rows, see :func:`metrics.training_dynamics.attention.statistics.head_statistics`; what is
    padding attends to nothing. Of the first example the maps (``attention_weights``: a curve a head and query, the
    query in ``variant``) and their rollout over all layers, where those look from and at the same places.

    Args:
        examples: of the probe, the first ones, 1 or more.
        places: rows and columns of a map, 1 or more; larger ones are kept in blocks, columns added, rows averaged.
        rounds, moments: see :class:`metrics.base.Metric`.
    """

    facts = FACTS
    on_server = True
    uses_probe = True
    per_model = True

    def __init__(
        self,
        examples: int = 32,
        places: int = 16,
        rounds: Sequence[str | int] = ("first", "last"),
        moments: Sequence[str] = ("after_local", "after_aggregate"),
    ) -> None:
        super().__init__(rounds, moments)
        for name, value in (("examples", examples), ("places", places)):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        self.examples, self.places = examples, places

    def check_model(self, module: nn.Module) -> None:
        """Raise UserError for a model that attends nowhere."""
        if not can_attend(module):
            raise UserError(
                f"metrics.attention needs a model that attends, such as model=vision_transformer, got "
                f"{type(module).__name__}; leave attention out of metrics"
            )

    def client(self, view: ClientView) -> Measurement:
        """Measure one client's model, on the server the global one."""
        if view.probe is None:
            raise ValueError("there is no probe to measure attention on")
        heard: dict[str, Tensor] = {}
        listener = AttentionListener(view.module, heard.__setitem__, examples=self.examples)
        features, _ = view.probe.batch(torch.arange(min(self.examples, len(view.probe))))
        listener.start()
        try:
            with torch.no_grad():
                view.module(features.to(view.device))
        finally:
            listener.stop()
        if not heard:
            raise ValueError("no module of the model shows attention weights")
        layers = {layer.name: layer for layer in view.layers}
        found, first = Measurement(), list[Tensor]()
        for place, (name, weights) in enumerate(heard.items(), len(layers)):
            where = at(layers[name]) if name in layers else {"layer": name, "layer_index": place}
            statistics = head_statistics(weights)
            for quantity in _QUANTITIES:
                for head, value in enumerate(getattr(statistics, quantity).tolist()):
                    reason = "rows and columns are not the same places" if quantity == "distance" else "no row attends"
                    subject = f"head {head}"
                    found.rows.append(
                        measured(
                            f"attention_{quantity}",
                            value,
                            reason,
                            subject=subject,
                            scope="probe",
                            n=len(weights),
                            **where,
                        )
                    )
            maps = pooled(weights[0], self.places)
            found.rows += map_rows(maps.cpu().numpy(), scope="probe", **where)
            first.append(maps.mean(0, keepdim=True))
        if len({one.shape for one in first}) == 1 and first[0].shape[-1] == first[0].shape[-2]:
            found.rows += rollout_rows(rollout(first)[0].cpu().numpy(), scope="probe")
        return found
