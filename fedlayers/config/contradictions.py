"""Settings that others leave without any effect, or that say two things at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from fedlayers.config.class_names import locate
from fedlayers.config.schema.examples import Plant
from fedlayers.config.schema.plan import Plan
from fedlayers.config.schema.settings import Config, Engine
from fedlayers.config.schema.training import AUTO, Training
from fedlayers.core.errors import UserError


@dataclass(frozen=True)
class _Rule:
    """When a setting is read, and what to say if it is given all the same.

    Attributes:
        key: the setting.
        default: what it is if nobody gives it.
        is_read: whether a run of this configuration reads it.
        why: what leaves it without effect, after "because".
        advice: what to do instead of leaving it out.
        harmless: a value that says what happens anyway.
    """

    key: str
    default: Any
    is_read: Callable[[Config], bool]
    why: Callable[[Config], str]
    advice: str
    harmless: Any = None


def _schedule(*kinds: str, by: tuple[str, ...] = ("round", "step")) -> Callable[[Config], bool]:
    return lambda config: config.training.schedule in kinds and config.training.schedule_by in by


def _counted_by(unit: str) -> Callable[[Config], bool]:
    return lambda config: config.training.schedule_by == unit or config.training.schedule == "constant"


def _under_schedule(config: Config) -> str:
    training = config.training
    # A constant rate has no length, whatever it is counted in.
    counted = "" if training.schedule == "constant" else f" with training.schedule_by={training.schedule_by}"
    return f"training.schedule={training.schedule}{counted} does not use it"


def _engine(name: str) -> _Rule:
    default = getattr(Engine, name)
    return _Rule(
        f"engine.{name}",
        default,
        lambda config: config.engine.name != "local",
        lambda config: "engine=local runs clients one after the other in this process",
        "choose engine=ray",
        default,
    )


def _why_no_cohort(config: Config) -> str | None:
    """Return why clients of a run cannot train as one whatever their network, None if they may."""
    if config.engine.name == "flower":
        return "engine=flower sends clients one by one"
    strategy = str(config.algorithm["strategy"]["_target_"])
    # A strategy that declares nothing trains clients.
    if getattr(locate(strategy, "algorithm.strategy._target_"), "pooled", False):
        return f"{strategy.rpartition('.')[2]} trains one participant on all clients' examples"
    return None


_RULES = (
    _Rule(
        "training.epochs",
        Training.epochs,
        lambda config: config.training.steps is None,
        lambda config: f"training.steps={config.training.steps} says how long a client trains",
        "leave out training.steps",
    ),
    _Rule(
        "training.momentum",
        Training.momentum,
        lambda config: config.training.optimizer == "sgd",
        lambda config: f"training.optimizer={config.training.optimizer} has none",
        "choose training.optimizer=sgd",
        0,
    ),
    _Rule(
        "training.optimizer_state", Training.optimizer_state,
        lambda config: config.training.optimizer != "sgd" or config.training.momentum > 0,
        lambda config: "training.optimizer=sgd with training.momentum=0 remembers nothing",
        "give training.momentum", Training.optimizer_state,
    ),
    _Rule(
        "training.schedule", Training.schedule,
        lambda config: config.training.schedule_by == "step" or config.training.warmup < config.rounds,
        lambda config: f"training.warmup={config.training.warmup} lasts for all rounds, rounds={config.rounds}",
        "shorten training.warmup", Training.schedule,
    ),
    _Rule(
        "training.schedule_by", Training.schedule_by,
        lambda config: config.training.schedule != "constant" or config.training.warmup > 0,
        lambda config: "training.schedule=constant without training.warmup is the same at every step",
        "choose training.schedule=cosine", Training.schedule_by,
    ),
    _Rule(
        "training.schedule_rounds", None, _schedule("step", "exponential", "cosine", by=("round",)), _under_schedule,
        "choose training.schedule=step training.schedule_by=round",
    ),
    _Rule(
        "training.schedule_steps", None, _schedule("step", "exponential", "cosine", by=("step",)), _under_schedule,
        "choose training.schedule=step training.schedule_by=step",
    ),
    # Of two sentences about a key the later one is told.
    _Rule(
        "training.schedule_rounds", None, _counted_by("round"), _under_schedule,
        "say training.schedule_steps, which counts optimizer steps, in its place",
    ),
    _Rule(
        "training.schedule_steps", None, _counted_by("step"), _under_schedule,
        "say training.schedule_rounds in its place",
    ),
    _Rule(
        "training.schedule_factor", Training.schedule_factor, _schedule("step", "exponential"), _under_schedule,
        "choose training.schedule=step",
    ),
    _Rule(
        "plant.groups", Plant.groups, lambda config: config.plant.kind is not None,
        lambda config: "plant.kind=null plants no groups", "choose plant.kind=rotation",
    ),
    _Rule(
        "init", None, lambda config: config.plan.name == "all" or bool(config.plan.rule),
        lambda config: f"plan={config.plan.name} starts personal layers on clients, which do not have that model",
        "choose plan=all",
    ),
    _Rule(
        "plan.head_layers", Plan.head_layers, lambda config: config.plan.name in ("head", "body"),
        lambda config: f"plan={config.plan.name} does not look for a head", "choose plan=head",
    ),
    _Rule(
        "plan.layers", Plan.layers, lambda config: config.plan.name in ("prefix", "suffix"),
        lambda config: f"plan={config.plan.name} does not count layers", "choose plan=prefix",
    ),
    _Rule(
        "training.cohort", AUTO, lambda config: _why_no_cohort(config) is None,
        lambda config: _why_no_cohort(config) or "", "choose engine=ray and algorithm=fedavg", 1,
    ),
    *map(_engine, ("workers", "client_cpus", "client_gpus", "address")),
)  # fmt: skip


def contradictions(config: Config, words: Sequence[str] = ()) -> dict[str, str]:
    """Return key -> sentence for every setting that was given and that nothing reads.

    Args:
        config: the configuration of a run.
        words: the ``key=value`` words it was made of: what stands there was given, even if it is the default.
    """
    typed = {word.partition("=")[0].lstrip("+") for word in words}
    found = {}
    for rule in _RULES:
        value = reduce(getattr, rule.key.split("."), config)
        given = value is not None and value != rule.harmless and (rule.key in typed or value != rule.default)
        if given and not rule.is_read(config):
            found[rule.key] = (
                f"{rule.key} must be left out because {rule.why(config)}, got {value!r}; leave it out, or {rule.advice}"
            )
    return found


def refuse_contradictions(runs: Sequence[Mapping[str, str]]) -> None:
    """Raise UserError for a setting that none of some runs reads.

    Args:
        runs: what :func:`contradictions` found in each: in a sweep a setting may be of some of its runs only.
    """
    for key, sentence in runs[0].items():
        if all(key in run for run in runs):
            raise UserError(sentence)
