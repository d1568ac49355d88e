"""What the stages of a model put out on the probe: h_1 … h_L, after nonlinearity and pooling."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fedlayers.core.stages import pooled, representations, stages
from metrics.base import ClientView


@dataclass(frozen=True)
class StageOutput:
    """One stage's representation of the probe.

    Attributes:
        name: of the stage, that of its last layer with weights.
        rows: h, shape (n, d), float32, channels averaged over their positions.
        reason: why nothing can be read off it, None if it can.
    """

    name: str
    rows: Tensor
    reason: str | None


def stage_outputs(view: ClientView) -> tuple[StageOutput, ...]:
    """Return the representations of all stages on the CPU, computed once per view.

    Args:
        view: one model; its ``probe`` must be there.

    Raises:
        UserError: the model has no stages.
        ValueError: the view has no probe.
    """
    if view.probe is None:
        raise ValueError("there is no probe to read stages off")
    if "stage outputs" not in view.cache:
        parts = stages(view.module)
        collected: list[list[Tensor]] = [[] for _ in parts]
        for order in torch.split(torch.arange(len(view.probe)), view.batch_size):
            features = view.probe.batch(order)[0].to(view.device)
            with torch.no_grad():
                for kept, output in zip(collected, representations(parts, features), strict=True):
                    kept.append(pooled(output).to("cpu", torch.float32, copy=True))
        joined = [torch.cat(kept) for kept in collected]
        view.cache["stage outputs"] = tuple(
            StageOutput(stage.name, rows, _problem(rows)) for stage, rows in zip(parts, joined, strict=True)
        )
    found: tuple[StageOutput, ...] = view.cache["stage outputs"]
    return found


def stage_widths(view: ClientView) -> list[int]:
    """Return how many units each stage has, from two examples of the probe; none without a probe."""
    if view.probe is None:
        return []
    with torch.no_grad():
        two = view.probe.batch(torch.arange(2))[0].to(view.device)
        return [pooled(output).shape[-1] for output in representations(stages(view.module), two)]


def _problem(rows: Tensor) -> str | None:
    if rows.ndim != 2 or rows.is_complex():
        return f"its output is not one row of numbers an example, but of shape {tuple(rows.shape)}"
    return None if bool(rows.isfinite().all()) else "its output is not finite"
