"""The words of a command line before Hydra sees them: flags apart, ``+dataset=`` rewritten, slips refused."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedlayers.config.advice import nearest_key
from fedlayers.config.options import choice, known_keys, options
from fedlayers.config.slips import check_words
from fedlayers.core.errors import UserError
from fedlayers.core.spelling import did_you_mean, nearest

# Hydra's flags that are of use here; True: a value follows, None: a value may follow.
_FLAGS: dict[str, bool | None] = {
    "--help": False,
    "--hydra-help": False,
    "--version": False,
    "--multirun": False,
    "--run": False,
    "--resolve": False,
    "--shell-completion": False,
    "--cfg": True,
    "--package": True,
    "--config-dir": True,
    "--info": None,
}
_SHORT = {
    "-h": "--help",
    "-m": "--multirun",
    "-r": "--run",
    "-c": "--cfg",
    "-p": "--package",
    "-cd": "--config-dir",
    "-i": "--info",
    "-sc": "--shell-completion",
}
_REFUSED = {
    "--config-name": "keep your settings in conf/experiment/<name>.yaml and choose them by +experiment=<name>",
    "--config-path": "add a folder with your own YAML by --config-dir=<folder>",
    "--experimental-rerun": "give the same command again: it continues what is unfinished",
}
_VALUES = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
_DASHES = "–—−‐‑"
_DATASET = re.compile(r"^\+{1,2}dataset=")


@dataclass(frozen=True)
class Arguments:
    """A command line taken apart.

    Attributes:
        flags: Hydra's flags by their long names, each with its value ("" for none).
        overrides: the ``key=value`` words, ready for Hydra.
    """

    flags: dict[str, str] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        """The command line for Hydra; flags last, because ``--info`` would swallow a word after it."""
        return [
            *self.overrides,
            *(word for name, value in self.flags.items() for word in (name, value) if word),
        ]


def read_arguments(words: Sequence[str]) -> Arguments:
    """Take a command line apart; flags may stand anywhere.

    Raises:
        UserError: for whatever Hydra would misread or answer with a page of usage.
    """
    flags: dict[str, str] = {}
    rest: list[str] = []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word.startswith(("-", *_DASHES)):
            name, value = _flag(word, waiting)
            flags[name] = value
        else:
            rest.append(word)
    _check_together(flags)
    if "--shell-completion" in flags:
        return Arguments(flags, rest)
    overrides = overrides_of(rest)
    if folder := flags.pop("--config-dir", ""):
        if not Path(folder).is_dir():
            raise UserError(f"--config-dir must be an existing folder with YAML in it, got {folder!r}")
        overrides.append(f'hydra.searchpath=["file://{Path(folder).resolve()}"]')
    return Arguments(flags, overrides)


def overrides_of(words: Sequence[str]) -> list[str]:
    """Return ``key=value`` words as Hydra wants them: ``+dataset=X`` becomes ``dataset=X``.

    Raises:
        UserError: for a slip of the pen, such as a forgotten ``=``, spaces around it or a key given twice.
    """
    check_words(words)
    return [_DATASET.sub("dataset=", word) for word in words]


def _check_together(flags: dict[str, str]) -> None:
    """Raise UserError for flags that contradict each other."""
    doing = [name for name in flags if name in ("--run", "--multirun", "--cfg", "--info", "--shell-completion")]
    if len(doing) > 1:
        raise UserError(f"{' and '.join(doing)} cannot be done at once; leave one")
    for name in ("--resolve", "--package"):
        if name in flags and not {"--cfg", "--help"} & flags.keys():
            raise UserError(f"{name} belongs to --cfg; write --cfg job {name}, or leave it out")


def _flag(word: str, waiting: list[str]) -> tuple[str, str]:
    """Return the long name and value of a flag, taking the value from ``waiting`` if it is the next word."""
    name, equals, value = word.partition("=")
    if word[0] in _DASHES:
        raise UserError(f"{word} begins with a long dash; type it with plain ones: {'-' + word.lstrip('-' + _DASHES)}")
    long = _SHORT.get(name, name)
    matches = [
        known for known in (*_FLAGS, *_REFUSED) if known == long or (long.startswith("--") and known.startswith(long))
    ]
    if len(matches) != 1 or long == "--":
        raise UserError(_unknown_flag(word, waiting))
    long = matches[0]
    if long in _REFUSED:
        raise UserError(f"{long} is not used here; {_REFUSED[long]}")
    takes = _FLAGS[long]
    if equals and takes is False:
        raise UserError(f"{long} takes no value; write {name}")
    if not equals and waiting and (takes or (takes is None and waiting[0] in _VALUES[long])):
        value = waiting.pop(0)
    if takes and not value:
        raise UserError(f"{long} needs a value, such as {long} {_VALUES.get(long, ('<value>',))[0]}")
    if value and long in _VALUES and value not in _VALUES[long]:
        raise UserError(f"{long} must be one of {', '.join(_VALUES[long])}, got {value!r}")
    return long, value


def _unknown_flag(word: str, waiting: Sequence[str]) -> str:
    name, equals, value = word.partition("=")
    key = name.lstrip("-").replace("-", "_")
    close = nearest(name, [*_FLAGS, *_SHORT])
    keys = [*known_keys(()), *options()]
    meant = key if key in keys else nearest_key(key, keys)
    if meant and not (close and len(key) < 4):
        follows = waiting[0] if waiting and not equals and "=" not in waiting[0] else ""
        return f"{word} is written without dashes and with '=': {choice(meant, value or follows or '<value>')}"
    return f"there is no flag {word}; {did_you_mean(close, '--help lists what can be said')}"
