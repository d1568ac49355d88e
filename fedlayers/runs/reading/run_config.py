"""The configuration that a run was carried out with, from its config.yaml."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedlayers.config.compose import schema
from fedlayers.config.schema.old_names import new_key, new_value
from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import UserError
from fedlayers.runs.damage import WRITTEN_ANEW, guarded


def typed_config(run: Path) -> Config:
    """Return the configuration of a run.

    Raises:
        UserError: there is none, it cannot be read, or this version does not know its settings.
    """
    file = run / "config.yaml"
    if not file.is_file():
        raise UserError(
            f"{run} has no config.yaml, as a training loop of one's own has none: its tables, facts and quantities are "
            "there, its data and models are not"
        )
    content = guarded(OmegaConf.load, file, WRITTEN_ANEW)
    if not isinstance(content, DictConfig) or not content:
        raise UserError(f"{file} holds no configuration: {WRITTEN_ANEW}")
    # It repeats what the run's name was made of.
    content.pop("identity", None)
    try:
        found = OmegaConf.to_object(OmegaConf.merge(schema(), _in_new_words(content)))
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        told = " ".join(str(error).splitlines()[0].split())
        raise UserError(
            f"{file} is not of this version of fedlayers ({told}): open it with the one that wrote it"
        ) from None
    assert isinstance(found, Config)
    return found


def _in_new_words(settings: Mapping[Any, Any], above: str = "") -> dict[str, Any]:
    """Return keys and values as they are called now."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        dotted = f"{above}{key}"
        name = (new_key(dotted) or dotted).removeprefix(above)
        own = _in_new_words(value, f"{dotted}.") if isinstance(value, Mapping) else value
        found[name] = new_value(dotted, own) or own
    return found
