"""Experiments: settings that belong together, by their name in ``conf/experiment/`` or as a YAML file anywhere."""

import re
from pathlib import Path

import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from fedlayers.config.options import config_dir
from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import read_yaml
from fedlayers.core.spelling import in_brackets

_ENDINGS = (".yaml", ".yml")


def experiments() -> list[str]:
    """Return the names of all experiments of ours, those in folders as ``folder/name``, sorted."""
    root = Path(config_dir()) / "experiment"
    return sorted(str(file.relative_to(root).with_suffix("")) for file in root.rglob("*.yaml"))


def experiment_word(name: str) -> str:
    """Return the argument that chooses an experiment.

    Args:
        name: one of :func:`experiments`, or the path of a YAML file, written as those are.

    Raises:
        UserError: there is neither, or the file holds no settings.
    """
    if name in experiments():
        return f"+experiment={name}"
    file = Path(name)
    if file.suffix in _ENDINGS or file.is_file():
        return f"+experiment={_registered(file)}"
    raise UserError(
        f"there is no experiment {name}{in_brackets(name, experiments())}: give one of "
        f"{', '.join(experiments())}, the path of a YAML file, or settings such as model=mlp"
    )


def _registered(file: Path) -> str:
    """Make a file's settings known to Hydra as an experiment of this process, and return its name there."""
    try:
        content = read_yaml(file)
    except (OSError, yaml.YAMLError) as error:
        told = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise UserError(f"{file} cannot be read ({told}): give a YAML file like those in conf/experiment/") from None
    if not isinstance(content, dict) or not content:
        raise UserError(f"{file} must hold settings, such as rounds: 20, got {type(content).__name__}")
    name = "file_" + re.sub(r"\W", "_", file.stem)
    ConfigStore.instance().store(name, OmegaConf.create(content), group="experiment", package="_global_")
    return name
