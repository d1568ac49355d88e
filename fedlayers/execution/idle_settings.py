"""Settings that this run comes to too late, or never: rounds, steps, a warm-up, and what a strategy cuts off."""

from collections.abc import Iterator, Mapping, Sequence

from fedlayers.config.schema.settings import Config
from fedlayers.config.schema.training import Length
from fedlayers.config.stock_strategies import trims_nobody
from fedlayers.core.schedule import Schedule, never
from metrics.base import Metric


def without_effect(
    config: Config, metrics: Mapping[str, Metric], lengths: Sequence[Length], clients: int
) -> Iterator[str]:
    """Yield a sentence for each setting that the run does not come to.

    Args:
        config: the configuration.
        metrics: name -> metric.
        lengths: how long participants train in a round.
        clients: how many there are.
    """
    training, most = config.training, max((length.steps for length in lengths), default=0)
    whole = config.rounds * most if training.schedule_by == "step" else config.rounds
    if 0 < training.warmup >= whole:
        yield (
            f"training.warmup={training.warmup} takes all {training.schedule_by}s of the run, at most {whole}: "
            f"training.schedule={training.schedule} does not begin"
        )
    for name, metric in metrics.items():
        yield from _rounds(f"metrics.{name}", metric.schedule.rounds, config.rounds)
        yield from _steps(f"metrics.{name}", metric.schedule, lengths)
    yield from _rounds("snapshots", config.snapshots.rounds, config.rounds)
    yield from _rounds("server_test", config.server_test.rounds, config.rounds)
    yield from filter(None, [trims_nobody(config.algorithm, max(1, int(config.fraction * clients)))])


def _rounds(key: str, entries: Sequence[str | int], last: int) -> Iterator[str]:
    if absent := never(entries, last):
        named = f"{key}.rounds={list(entries)} names {_listed(absent)}"
        yield f"{named}, and the last round is {last}: nothing comes of it"


def _steps(key: str, schedule: Schedule, lengths: Sequence[Length]) -> Iterator[str]:
    most = max((length.steps for length in lengths), default=0)
    if not schedule.steps:
        return
    if not any(schedule.is_reached(length.steps, length.per_epoch) for length in lengths):
        yield (
            f"{key}.steps={list(schedule.steps)} names no step of a local training, which has at most "
            f"{most}: nothing is measured there"
        )
    elif absent := never(schedule.steps, most):
        yield (
            f"{key}.steps={list(schedule.steps)} names {_listed(absent)}, and a local training has at most {most} "
            "steps: nothing comes of it"
        )


def _listed(entries: Sequence[str | int]) -> str:
    return ", ".join(map(str, entries))
