"""What ``conf/`` offers: groups, their options, and the keys that these set."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from fedlayers.config.schema.settings import Config

# Groups of which several options are chosen at once, as in metrics=[weights,gradients].
LISTS = ("metrics", "similarity", "export", "tracking")
GROUPS_OF_HYDRA = ("hydra/launcher", "hydra/sweeper", "hydra/job_logging", "hydra/hydra_logging")


def config_dir() -> str:
    """Return ``conf/`` of the checkout, or the copy inside the installed package."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if folder.is_dir():
            return str(folder)
    raise FileNotFoundError(f"no conf/ folder beside or inside {package}: install fedlayers again")


@lru_cache(maxsize=1)
def options() -> dict[str, list[str]]:
    """Return the options of every group of ours (not Hydra's, nor a user's defaults in ``local``), sorted."""
    others = ("hydra", "local")
    groups = sorted(folder for folder in Path(config_dir()).iterdir() if folder.is_dir() and folder.name not in others)
    files = {folder: [file.relative_to(folder).with_suffix("") for file in folder.rglob("*.yaml")] for folder in groups}
    return {folder.name: sorted(file.as_posix() for file in found) for folder, found in files.items()}


def choices_like(option: str) -> list[str]:
    """Return ``group=option`` for every option of that name, upper and lower case alike.

    A plan's names say how much of something there is, and not what: nobody who writes ``all`` elsewhere means a plan.
    """
    pairs = [(group, name) for group, names in options().items() if group != "plan" for name in names]
    return [choice(group, name) for group, name in pairs if name.lower() == option.lower()]


def choice(group: str, option: str) -> str:
    """Return how to choose an option on the command line; an experiment is added with a plus."""
    if group in LISTS and option and not option.startswith(("[", "<")):
        return f"{group}=[{option}]"
    return f"+{group}={option}" if group == "experiment" else f"{group}={option}"


def known_keys(words: Sequence[str]) -> list[str]:
    """Return every dotted key that can be set once the options named in ``words`` are chosen."""
    keys = set(_field_keys(Config))
    for group, chosen in _chosen(words).items():
        for option in chosen:
            keys.update(option_keys(group, option))
    return sorted(keys)


def option_keys(group: str, option: str) -> list[str]:
    """Return the dotted keys that an option's YAML sets, with the group in front."""
    content = {key: value for key, value in _read(group, option).items() if key != "defaults"}
    # An option written for the root names its group itself.
    below = content[group] if set(content) == {group} and isinstance(content[group], dict) else content
    return list(_flat(below, f"{group}."))


def options_with(key: str) -> list[str]:
    """Return ``group=option`` for every option that has the dotted key, such as ``algorithm.mu``."""
    group = key.partition(".")[0]
    return [choice(group, option) for option in options().get(group, []) if key in option_keys(group, option)]


def target_of(group: str, option: str) -> str:
    """Return the class that an option names."""
    content = _read(group, option)
    return str(content.get(option, content).get("_target_", ""))


def targets(key: str) -> list[str]:
    """Return the classes that the options of a plug-in's group name; of the algorithm's, by ``algorithm.client``."""
    return sorted({target for target in _targets(key).values() if "." in target})


def option_of(key: str, target: str) -> str | None:
    """Return the first option of a plug-in's group that names a class; None if none does."""
    return next((option for option, found in _targets(key).items() if found == target), None)


def _targets(key: str) -> dict[str, str]:
    """Return option -> the class it names."""
    group, *path = key.split(".")[:2]
    found = {}
    for option in options().get(group, []):
        content = _read(group, option)
        for name in path:
            content = content.get(name) or {}
        found[option] = str(content.get("_target_", ""))
    return found


def _chosen(words: Sequence[str]) -> dict[str, list[str]]:
    """Return the options in force: the defaults, what chosen options bring along, and the words' own."""
    chosen: dict[str, list[str]] = {}
    groups = options()
    named = [word.lstrip("+").partition("=") for word in words]
    for entry in _read("", "config")["defaults"]:
        if isinstance(entry, dict):
            _choose(chosen, groups, entry)
    for group, _, text in sorted(named, key=lambda part: part[0] != "experiment"):
        if group in groups:
            _choose(chosen, groups, {group: [item.strip() for item in text.strip("[]").split(",")]})
    said = {group for group, _, _ in named}
    for group, picked in list(chosen.items()):
        for entry in [entry for option in picked for entry in _read(group, option).get("defaults", [])]:
            if isinstance(entry, dict):
                _choose(chosen, {key: value for key, value in groups.items() if key not in said}, entry)
    return chosen


def _choose(chosen: dict[str, list[str]], groups: dict[str, list[str]], entry: dict[str, Any]) -> None:
    for key, value in entry.items():
        group = str(key).split()[-1].lstrip("/").partition("@")[0]
        picked = [
            option for option in (value if isinstance(value, list) else [value]) if option in groups.get(group, [])
        ]
        if picked:
            chosen[group] = picked


def _read(group: str, option: str) -> dict[str, Any]:
    """Return what an option's file says, which nobody may write to."""
    path = Path(config_dir()) / group / f"{option}.yaml"
    return _content(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=512)
def _content(path: Path, written_ns: int) -> dict[str, Any]:
    """Return what a file says, read once as long as it is not written anew: one message may ask for fifty."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _field_keys(kind: Any, prefix: str = "") -> Iterator[str]:
    for item in dataclasses.fields(kind):
        yield prefix + item.name
        if dataclasses.is_dataclass(item.type):
            yield from _field_keys(item.type, f"{prefix}{item.name}.")
    if kind is Config:
        yield from ("metrics.on_error", "metrics.payload_mb")


def _flat(content: dict[str, Any], prefix: str) -> Iterator[str]:
    for key, value in content.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
