"""Runs and sweeps from Python: what the command line does, with settings as words or as keyword arguments."""

import math
import numbers
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import ListConfig, OmegaConf

from fedlayers.commands.reading import Tables, read
from fedlayers.config.arguments import overrides_of, read_arguments
from fedlayers.config.compose import composed, hydra_ready, single
from fedlayers.config.options import LISTS
from fedlayers.core.errors import UserError

# Texts that Hydra reads as themselves.
_PLAIN = re.compile(
    r"(?!(?:null|true|false|on|off|yes|no|nan|inf)$)[A-Za-z_./~@?][\w./:%+@?-]*", re.IGNORECASE | re.ASCII
)


def run(overrides: Sequence[str] = (), /, **settings: Any) -> Tables:
    """Do what the command line does, and return the tables of the run, or of all runs of a sweep.

    Args:
        overrides: words as on the command line, such as ``["+dataset=FMNIST", "rounds=2"]``; with ``"-m"`` among them
            values with commas are swept.
        settings: the same as keyword arguments: ``dataset="FMNIST"``, ``training={"lr": 0.1}`` for ``training.lr``. A
            list is a sweep over its values, ``seed=[0, 1, 2]``; of a key whose value is itself a list, such as
            ``metrics`` or ``model.hidden``, a list of lists is.

    Raises:
        UserError: a mistake in the arguments, and nothing was started; or runs of a sweep failed, and the others are in
            the study's folder.

    Examples:
        A list is a sweep, ``fedlayers.run(dataset="FMNIST", rounds=2, seed=[0, 1, 2])``; one value is one run:

        >>> import fedlayers
        >>> tables = fedlayers.run(rounds=1, clients=2, metrics=["evaluation"], figures=False)
        run: results/main/digits-fedavg-s0-...
        >>> sorted(tables.records["moment"].unique())
        ['after_aggregate', 'after_local', 'final', 'start']
    """
    words, swept = _words(_checked(overrides), settings)
    arguments = read_arguments(words)
    swept = swept or "--multirun" in arguments.flags
    if set(arguments.flags) - {"--multirun"}:
        raise UserError(f"fedlayers.run takes key=value words and -m, got {', '.join(arguments.flags)}")
    if swept:
        return _sweep(arguments.overrides)
    from fedlayers.execution.execute import execute

    return read(execute(single(overrides_of(arguments.overrides))))


def _checked(overrides: Any) -> list[str]:
    """Return the words, or say how they are written."""
    right = 'fedlayers.run(["rounds=2"]) or fedlayers.run(rounds=2)'
    if isinstance(overrides, str | bytes) or not isinstance(overrides, Sequence):
        meant = "; write ** in front of a dictionary" if isinstance(overrides, Mapping) else ""
        raise UserError(
            f"fedlayers.run needs a list of words or keyword arguments, such as {right}, got {overrides!r}{meant}"
        )
    for word in overrides:
        if not isinstance(word, str):
            raise UserError(f"fedlayers.run needs words, such as {right}, got {word!r} among them")
    return list(overrides)


def _words(overrides: list[str], settings: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Return the words that say what overrides and settings do, and whether a setting is swept."""
    given = _flat(settings)
    lists = _keys_of_lists(overrides, given)
    words, swept = list(overrides), False
    for key, value in given.items():
        values = _several(value, key in lists)
        swept |= values is not None
        texts = [_text(key, one) for one in ([value] if values is None else values)]
        words.append(f"{key}={','.join(texts)}")
    return words, swept


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _several(value: Any, of_lists: bool) -> list[Any] | None:
    """Return the values that are swept, None if it is one value."""
    if not isinstance(value, list | tuple | range):
        return None
    inner = [isinstance(one, list | tuple) for one in value]
    return None if of_lists and not (inner and all(inner)) else list(value)


def _keys_of_lists(overrides: list[str], given: Mapping[str, Any]) -> set[str]:
    """Return those of the given keys whose value is a list, once the options among the settings are chosen."""
    known_lists = given.keys() & {*LISTS}
    if not any(isinstance(value, list | tuple) for key, value in given.items() if key not in known_lists):
        return known_lists
    options = [
        f"{key}={_text(key, value)}" for key, value in given.items() if "." not in key and isinstance(value, str)
    ]
    with hydra_ready():
        parser = OverridesParser.create()
        known = overrides_of([*read_arguments(overrides).overrides, *options])
        single = [word for word in known if not parser.parse_override(word).is_sweep_override()]
        content = composed(single)
    return known_lists | {key for key in given if isinstance(OmegaConf.select(content, key), ListConfig)}


def _text(key: str, value: Any) -> str:
    """Return a value as Hydra writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{','.join(_text(key, one) for one in value)}]"
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return repr(float(value)) if math.isfinite(value) else str(float(value))
    if isinstance(value, str | Path):
        text = str(value)
        # A text means itself: neither the end of a quotation nor another key.
        return text if _PLAIN.fullmatch(text) else "'" + text.replace("'", "\\'").replace("${", "\\${") + "'"
    raise UserError(f"{key} must be a text, a number, true, false, None or a list of those, got {value!r}")


def _sweep(words: list[str]) -> Tables:
    from fedlayers.commands.main import carry_out_sweep
    from fedlayers.config.arguments import Arguments
    from fedlayers.studies.study import compose_sweep

    arguments = Arguments({"--multirun": ""}, overrides_of(words))
    sweep = compose_sweep(arguments.overrides)
    expected = sweep.expected()
    went_well = carry_out_sweep(sweep, arguments) == 0
    folders = tuple(study / run for study, runs in expected.items() for run in runs)
    if not went_well:
        missing = [folder.name for folder in folders if not (folder / "done.json").is_file()]
        studies = ", ".join(str(study) for study in expected)
        raise UserError(
            f"{len(missing)} of {len(folders)} runs are not complete ({', '.join(missing) or 'see above'}); the others "
            f"are there: fedlayers.read({studies!r})"
        )
    return Tables(next(iter(expected)), folders, several=True)
