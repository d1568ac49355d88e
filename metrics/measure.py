"""Runs the halves of metrics that are due; a metric that fails never stops a run unasked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from fedlayers.core.cohorts.meeting import own_time
from fedlayers.core.errors import Stopped
from fedlayers.core.layers import Layer, as_written, buffers_kept
from fedlayers.core.records import Resource, Row, addressed, missing
from fedlayers.core.schedule import Step
from fedlayers.core.seeding import global_state
from metrics.answers.checked import checked, weights_kept
from metrics.answers.guarded_view import GuardedView
from metrics.answers.twin_rows import without_twins
from metrics.base import ClientView, Measurement, Metric, ServerView
from metrics.parallel import mapped_by

Payload = dict[str, np.ndarray]
WithView = Callable[[Callable[[ClientView], list[Row]]], list[Row]]


@dataclass(frozen=True)
class Sent:
    """What client halves send to the server halves.

    Attributes:
        own: metric -> its payload, without empty ones.
        shared: name -> what one or several metrics send under it; it travels once.
    """

    own: dict[str, Payload] = field(default_factory=dict)
    shared: dict[str, Payload] = field(default_factory=dict)


def measure_clients(
    metrics: Mapping[str, Metric],
    view: ClientView,
    last_round: int,
    on_error: str = "record",
    fill: Callable[[], None] | None = None,
) -> tuple[list[Row], Sent]:
    """Run the client halves that are due at the view's round and moment.

    Args:
        metrics: name -> metric.
        view: one model of one client.
        last_round: the number of rounds of the run.
        on_error: ``record`` turns a metric that raises into one missing value whose metric is its name; ``raise``
            lets the exception through.
        fill: makes the view's module hold its weights, when a metric first looks at it; None if it does.

    Returns:
        The rows, with one resource row ``measure_<name>`` in seconds for each metric that ran, and the payloads.
    """
    found: list[list[Row]] = []
    sent = Sent()
    due = {
        name: metric
        for name, metric in metrics.items()
        if metric.measures_models and metric.schedule.is_due(view.round, last_round, view.moment)
    }
    guarded = GuardedView.of(view, fill)
    for number, (name, metric) in enumerate(due.items(), 1):
        half = partial(_client_half, metric, guarded, number == len(due), sent.shared)
        measurement = _timed(name, half, view.device, on_error)
        found.append(measurement.rows)
        sent.shared.update(measurement.shared)
        if measurement.payload:
            sent.own[name] = measurement.payload
    return without_twins(found), sent


def measure_step(
    metrics: Mapping[str, Metric],
    layers: Sequence[Layer],
    parameters: Mapping[str, Tensor],
    reference: Mapping[str, Tensor],
    step: Step,
    seed: int,
    on_error: str = "record",
    with_view: WithView | None = None,
) -> list[Row]:
    """Run what is due after a step of a client's local training.

    Args:
        metrics: name -> metric, those that are due in this round.
        layers: the model's layers, in order.
        parameters: name -> the client's weights.
        reference: name -> the weights that its training started from.
        step: which step.
        seed: for what draws from global generators, which training must find as it left them.
        on_error: see :func:`measure_clients`.
        with_view: returns what a function makes of a view of the whole model as it is then; None if there is none.

    Returns:
        The rows, ``step`` filled in.
    """
    due = {name: metric for name, metric in metrics.items() if metric.schedule.is_due_step(step)}
    if not due:
        return []
    rows: list[Row] = []
    detached = {name: tensor.detach() for name, tensor in parameters.items()}
    kept = {name: tensor.clone() for name, tensor in detached.items()}
    with global_state(seed, f"step {step.number}"):
        for name, metric in due.items():
            half = partial(_step_half, metric, layers, detached, reference, kept, with_view)
            rows += _timed(name, half, next(iter(detached.values())).device, on_error).rows
    return addressed(rows, step=step.number)


def measure_server(
    metrics: Mapping[str, Metric],
    view: ServerView,
    payloads: Mapping[str, Mapping[int, Mapping[str, np.ndarray]]],
    last_round: int,
    on_error: str = "record",
) -> tuple[list[Row], Payload]:
    """Run the server halves that are due at the view's round and moment.

    Args:
        metrics: name -> metric.
        view: what the server knows; its ``payloads`` are replaced by those of each metric, and its ``earlier``,
            which takes the metric's name, by a function without arguments.
        payloads: metric -> client -> name -> array, each metric's own as :func:`measure_clients` gave them; those that
            metrics share are the view's.
        last_round: the number of rounds of the run.
        on_error: see :func:`measure_clients`.

    Returns:
        The rows, owned by the server where a metric names no other owner, and what is to be kept for later rounds,
        named ``<metric>/<array>``.
    """
    found: list[list[Row]] = []
    kept: Payload = {}
    for name, metric in metrics.items():
        if not metric.compares_clients or not metric.schedule.is_due(view.round, last_round, view.moment):
            continue
        own = replace(view, payloads=payloads.get(name, {}), earlier=partial(view.earlier, name))
        measurement = _timed(name, partial(_server_half, metric, own), torch.device("cpu"), on_error)
        found.append(measurement.rows)
        kept |= {f"{name}/{key}": array for key, array in measurement.kept.items()}
    return addressed(without_twins(found), owner="server"), kept


def _timed(name: str, half: Callable[[], Measurement], device: torch.device, on_error: str) -> Measurement:
    """Run one half and add its seconds; a failure becomes a missing value."""
    began = own_time()
    try:
        measurement = half()
    except Stopped:
        raise
    except Exception as error:
        if on_error == "raise":
            raise
        measurement = Measurement([missing(name, _one_line(error))])
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = Resource(f"measure_{name}", own_time() - began, "s")
    return replace(measurement, rows=[*measurement.rows, seconds])


def _client_half(metric: Metric, view: GuardedView, is_last: bool, shared: Mapping[str, Payload]) -> Measurement:
    # A metric that changes buffers or weights must not decide what the next one sees.
    with view.guarded(is_last=is_last):
        measurement = checked(metric.client(view), metric, "client")
    payloads, limit = [measurement.payload, *measurement.shared.values()], view.payload_limit_bytes
    size = sum(array.nbytes for payload in payloads for array in payload.values())
    if size > limit:
        raise ValueError(f"payload must be {limit} bytes or less, got {size}; raise metrics.payload_mb")
    for name, payload in measurement.shared.items():
        if shared.get(name, payload) is not payload:
            raise ValueError(
                f"shared payload {name!r} must be the object that another metric sent under this name, kept in "
                "view.cache; give it a name of its own"
            )
    return measurement


def _server_half(metric: Metric, view: ServerView) -> Measurement:
    with mapped_by(view.parallel_map):
        return checked(metric.server(view), metric, "server")


def _step_half(
    metric: Metric,
    layers: Sequence[Layer],
    parameters: Mapping[str, Tensor],
    reference: Mapping[str, Tensor],
    kept: Mapping[str, Tensor],
    with_view: WithView | None,
) -> Measurement:
    with weights_kept(parameters, kept):
        rows = checked(Measurement(metric.step(layers, parameters, reference)), metric, "step").rows
        if metric.looks_inside and with_view is not None:
            rows = [*rows, *with_view(partial(_inside, metric))]
        return Measurement(rows)


def _inside(metric: Metric, view: ClientView) -> list[Row]:
    with buffers_kept(view.module), as_written(view.module):
        return checked(Measurement(metric.inside(view)), metric, "inside").rows


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]
