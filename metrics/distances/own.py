"""Distances of a user's own: what they have to be, and that they are asked for."""

from collections.abc import Sequence
from typing import TypeGuard

from metrics.distances.families import ClientMatrixMetric, ModelMatrixMetric
from metrics.distances.names import parse_name
from metrics.distances.representations import RepresentationMetric


def check_own(name: str, metric: object, names: Sequence[str]) -> None:
    """Raise ValueError for an entry of ``own`` that is no distance, is called otherwise, or is not asked for.

    Args:
        name: its key.
        metric: what stands there.
        names: the distances that are to be measured.
    """
    if not isinstance(metric, ClientMatrixMetric):
        raise ValueError(f"own.{name} must be a distance of metrics.distances.families, got {type(metric).__name__}")
    if metric.name != name:
        raise ValueError(
            f"own.{name} must stand under the name that its distance has, got one named {metric.name!r}: write "
            f"own.{metric.name}, or name={name} among its arguments"
        )
    if name not in [parse_name(one).base for one in names]:
        raise ValueError(
            f"names must ask for every distance in own, got {list(names)} without {name!r}, which would not be "
            f"measured: add {name} to names, or leave it out of own"
        )


def is_of_weights(metric: ClientMatrixMetric) -> TypeGuard[ModelMatrixMetric]:
    """Say whether a distance compares weights of two models, as inside local training."""
    return isinstance(metric, ModelMatrixMetric) and not isinstance(metric, RepresentationMetric)
