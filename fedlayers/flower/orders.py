"""What a strategy may tell its clients in a message's configuration, and what a client of ours makes of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fedlayers.config.schema.training import Training
from fedlayers.core.checks import check
from fedlayers.core.errors import UserError

# What the run itself writes into the configuration of every message.
OWN = ("server-round", "last-round", "moment", "buffers")
# Keys of a configuration, however spelt (learning_rate, Learning-Rate) -> the setting that they replace in a message.
_SETTINGS = {
    "lr": "lr",
    "learning-rate": "lr",
    "epochs": "epochs",
    "local-epochs": "epochs",
    "steps": "steps",
    "local-steps": "steps",
    "batch-size": "batch_size",
    "momentum": "momentum",
    "weight-decay": "weight_decay",
}
_MU, _CLIPPING = "proximal-mu", "clipping-norm"
OBEYED = (_MU, _CLIPPING, *_SETTINGS)


@dataclass(frozen=True)
class Orders:
    """What a strategy tells a client to do otherwise than the run's configuration says.

    Attributes:
        training: the settings of local training, with those that the strategy replaces.
        lr: the learning rate that it gives, None to follow the run's schedule.
        mu: the strength µ ≥ 0 of a proximal term, 0 for none.
        clipping_norm: the largest norm an update may have, None for any.
    """

    training: Training
    lr: float | None = None
    mu: float = 0.0
    clipping_norm: float | None = None


def plain(key: str) -> str:
    """Return a key of a configuration in the spelling in which keys are compared."""
    return key.lower().replace("_", "-")


def orders(config: Mapping[str, Any], training: Training) -> Orders:
    """Return what a message's configuration tells a client of ours; keys that it does not obey are left alone.

    Args:
        config: key -> value, as a NumPyClient gets it.
        training: the run's settings.

    Raises:
        UserError: a value is out of its range, or two keys contradict each other.
    """
    given = {plain(key): value for key, value in config.items() if plain(key) in OBEYED}
    settings: dict[str, Any] = {}
    for key, value in given.items():
        whole = _SETTINGS.get(key) in ("steps", "batch_size")
        number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        check(number, _told(key), "a whole number" if whole else "a number", value)
        field = _SETTINGS.get(key)
        if field is not None:
            both = settings.setdefault(field, value) == value
            check(both, _told(key), f"what it says of {field} by another key, {settings[field]!r}", value)
    mu, norm = given.get(_MU, 0.0), given.get(_CLIPPING)
    check(0 <= mu < math.inf, _told(_MU), "0 or more (0 is FedAvg)", mu)
    check(norm is None or 0 < norm < math.inf, _told(_CLIPPING), "positive", norm)
    if "epochs" in settings:
        settings.setdefault("steps", None)
    try:
        changed = replace(training, **settings)
    except UserError as error:
        raise UserError(f"what algorithm.strategy tells its clients: {error}") from None
    return Orders(changed, settings.get("lr"), float(mu), norm)


def _told(key: str) -> str:
    return f"{key}, which algorithm.strategy tells its clients,"
