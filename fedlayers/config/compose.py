"""From ``key=value`` arguments and the YAML in ``conf/`` to the typed configuration."""

import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, Node, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from fedlayers.config.arguments import overrides_of
from fedlayers.config.contradictions import contradictions, refuse_contradictions
from fedlayers.config.groups_made import GroupsMade
from fedlayers.config.mistakes import explained, refuse_numbers_for_truth
from fedlayers.config.options import config_dir, options
from fedlayers.config.read_once import reading_once
from fedlayers.config.schema.settings import Config
from fedlayers.config.set_values import set_values
from fedlayers.config.shortcuts import without_own_options
from fedlayers.config.slips import refuse_options_without_names
from fedlayers.config.unread import refuse_unread
from fedlayers.core.errors import UserError

# As conf/config.yaml calls it.
_SCHEMA = "base_config"

# File -> when it was written, in nanoseconds.
_Files = tuple[tuple[str, int], ...]


def compose_config(overrides: Sequence[str] = ()) -> Config:
    """Return the typed configuration of one run, exactly as the command line composes it.

    Args:
        overrides: arguments as on the command line, such as ``["+dataset=FMNIST", "rounds=2"]``.

    Raises:
        UserError: for a mistake, in one sentence.
    """
    words = overrides_of(overrides)
    config = single(words)
    refuse_contradictions([contradictions(config, words)])
    return config


def single(words: Sequence[str]) -> Config:
    """Return the configuration of one run from words that :func:`fedlayers.config.arguments.overrides_of` has read."""
    settings = _of_hydra(words)
    with hydra_ready():
        return Points(settings).config([word for word in words if word not in settings])


class Points:
    """Composes run after run, each as Hydra would by itself; needs :func:`fedlayers.config.compose.hydra_ready`.

    Hydra takes a tenth of a second a run, most of it for reading and merging the same files. The words of a run that
    set a value of a known key come last in what it does; they are set in what it made of the others, which is kept
    as long as the process goes on and no file of the configuration changes.

    Args:
        settings: Hydra's own settings, the same for all runs.
    """

    def __init__(self, settings: Sequence[str]) -> None:
        self._settings = tuple(settings)
        self._files = _files(settings)
        self._groups = GroupsMade()

    def config(self, words: Sequence[str]) -> Config:
        """Return the configuration of a run.

        Args:
            words: its arguments.

        Raises:
            UserError: for a mistake in them.
        """
        rest = list(words)
        try:
            values = set_values(words)
            rest = [word for word in words if word not in values]
            content: DictConfig = pickle.loads(_made((*self._settings, *rest), self._files))
            for one in values.values():
                OmegaConf.update(content, one.key_or_group, one.value(), merge=True)
        except (OmegaConfBaseException, HydraException, UserError) as error:
            if isinstance(error, UserError) and len(rest) == len(words):
                raise
            # Said of all words, as by Hydra itself.
            return typed(composed([*self._settings, *words]), words)
        return typed(content, words, self._groups)


@lru_cache(maxsize=256)
def _made(words: tuple[str, ...], files: _Files) -> bytes:
    """Return what Hydra makes of words, pickled: reading that takes a hundredth of composing, and a tenth of a copy."""
    with nullcontext() if _of_hydra(words) else without_own_options():
        content = composed(words)
    with open_dict(content):
        del content["hydra"]
    return pickle.dumps(content)


def _of_hydra(words: Sequence[str]) -> list[str]:
    """Return the words that are Hydra's own settings."""
    return [word for word in words if word.lstrip("+~").startswith("hydra")]


def _files(settings: Sequence[str]) -> _Files:
    """Return the files that may be read: ours, and those of folders that Hydra's settings name."""
    folders = [config_dir(), *re.findall(r"file://([^\"'\],]+)", " ".join(settings))]
    found = (path for folder in folders for path in Path(folder).rglob("*.yaml"))
    return tuple(sorted((str(path), path.stat().st_mtime_ns) for path in found))


def composed(words: Sequence[str]) -> DictConfig:
    """Return what Hydra makes of words, its own settings under ``hydra`` included; needs :func:`hydra_ready`."""
    with explained(words):
        refuse_options_without_names(words)
        return compose("config", list(words), return_hydra_config=True)


def typed(content: DictConfig, words: Sequence[str] = (), made: GroupsMade | None = None) -> Config:
    """Turn what Hydra composed into dataclasses (:mod:`fedlayers.config.schema.settings`), which check every range.

    Args:
        content: what Hydra composed.
        words: of which words.
        made: the groups of other runs of the same sweep.

    Raises:
        UserError: a value is missing, out of its range, or read by nobody.
    """
    if "hydra" in content:
        content = content.copy()
        with open_dict(content):
            del content["hydra"]
    with explained(words):
        plain = _plain(content)
        for key in sorted(_missing(plain)):
            example = "flwr.serverapp.strategy.FedYogi" if key == "algorithm.strategy._target_" else "<value>"
            raise UserError(f"{key} has no value yet; give it one, such as {key}={example}")
        refuse_numbers_for_truth(words)
        refuse_unread(plain, words)
        return (made or GroupsMade()).config(_without(content, _metrics_not_chosen(plain)), plain)


def _metrics_not_chosen(content: Mapping[Any, Any]) -> list[str]:
    """Return our metrics of which an experiment sets something for the case that they are measured, as they are not.

    ``metrics=[evaluation]`` then measures less than the experiment, as it says.
    """
    metrics, known = content["metrics"], options()["metrics"]
    return [name for name in known if isinstance(metrics.get(name), dict) and "_target_" not in metrics[name]]


def _without(content: DictConfig, metrics: Sequence[str]) -> DictConfig:
    """Leave out some metrics; words are checked before."""
    if metrics:
        content = content.copy()
        with open_dict(content):
            for name in metrics:
                del content.metrics[name]
    return content


def _plain(node: Any) -> Any:
    """Return what ``OmegaConf.to_container`` does of a node, references unresolved, in a twentieth of the time."""
    value = node._value()
    if isinstance(value, dict):
        return {name: _plain(own) for name, own in value.items()}
    if isinstance(value, list):
        return [_plain(own) for own in value]
    return _plain(value) if isinstance(value, Node) else value


def _missing(node: object, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys whose value is still to be given; OmegaConf's own way takes a tenth of composing."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _missing(value, f"{prefix}.{name}" if prefix else str(name))
    elif node == MISSING:
        yield prefix


@contextmanager
def hydra_ready() -> Iterator[None]:
    """Initialise Hydra for a block of code; an application of Hydra around it is left as it was."""
    register_schema()
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with reading_once(), initialize_config_dir(config_dir(), job_name="fedlayers", version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = outer


def register_schema() -> None:
    """Make the types of :class:`Config` known to Hydra as ``base_config``."""
    store = ConfigStore.instance()
    if f"{_SCHEMA}.yaml" not in store.repo:
        store.store(name=_SCHEMA, node=schema())


def schema() -> DictConfig:
    """Return the types of :class:`Config`, into which values can be merged."""
    node = OmegaConf.structured(Config)
    assert isinstance(node, DictConfig)
    _make_writable(node)
    return node


def _make_writable(node: DictConfig) -> None:
    """Undo the read-only flag that frozen dataclasses give their nodes, so that values can be merged in."""
    OmegaConf.set_readonly(node, None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_missing() and not child._is_none():
            _make_writable(child)
