"""Hydra's and OmegaConf's answers to a mistake, turned into one sentence that says what to do."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin

import yaml
from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from fedlayers.config.advice import advice, nearest_key
from fedlayers.config.options import GROUPS_OF_HYDRA, LISTS, choice, choices_like, known_keys, options, options_with
from fedlayers.config.quantity_names import asks_for, with_option
from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import UserError
from fedlayers.core.spelling import did_you_mean, nearest

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list": "a list, such as [a,b]",
}


@contextmanager
def explained(words: Sequence[str]) -> Iterator[None]:
    """Turn what Hydra or OmegaConf raises in a block of code into :class:`UserError`.

    Args:
        words: the ``key=value`` words that are being composed.
    """
    try:
        yield
    except UserError:
        raise
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise UserError(" ".join(sentence(error, words).splitlines())) from error


def refuse_numbers_for_truth(words: Sequence[str]) -> None:
    """Raise UserError where true or false is asked for and a number came: Hydra takes any but 0 for true."""
    for word in words:
        key, _, value = word.partition("=")
        if _kind(key) == "bool" and re.fullmatch(r"[+-]?[\d.]+(e\+?\d+)?", value) and value not in ("0", "1"):
            raise UserError(f"{key.lstrip('+')} must be true or false, got {value}")


def sentence(error: Exception, words: Sequence[str]) -> str:
    """Return one sentence for an error of Hydra or OmegaConf."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override, words)
    if isinstance(error, yaml.YAMLError):
        return "cannot read a YAML file: " + " ".join(text.split())
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    given = re.match(r"Could not override '([^']+)'", text)
    if given and isinstance(cause, OmegaConfBaseException) and str(cause.full_key).startswith(f"{given[1]}."):
        # Several values were given at once, one of a key that is not there.
        text = text.replace(given[1], str(cause.full_key), 1)
    for pattern, answer in _ANSWERS:
        if match := re.search(pattern, text):
            return answer(match, words)
    if isinstance(cause, OmegaConfBaseException):
        return _omegaconf(cause, text if cause is not error else "", words)
    return _one_line(text)


def _one_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    return "; ".join(
        line
        for line in lines
        if line and not line.startswith(("full_key:", "object_type=", "reference_type=", "Set the env"))
    )


def _of_another(key: str, options_of_it: Sequence[str]) -> str:
    """Say what to choose for a key that options have which are not chosen."""
    group, name = key.split(".")[:2]
    if group in LISTS:
        return f"{key} belongs to {name}, which is not chosen; add {name} to the list {group}=[...]"
    return f"{key} belongs to another option of {group}; choose {' or '.join(options_of_it)}"


def _unknown_key(match: re.Match[str], words: Sequence[str]) -> str:
    key = match[1]
    value = next((word.partition("=")[2] for word in words if word.partition("=")[0].lstrip("+") == key), "")
    if file := re.match(r"In '([^']+)'", match.string):
        return _unknown_in_file(file[1], key.partition("@")[0])
    if key == "experiment":
        return f"an experiment is added with a plus: +experiment={value}"
    if key.startswith("hydra"):
        return _unknown_to_hydra(key, words)
    if others := options_with(key):
        return _of_another(key, others)
    for named in choices_like(value):
        group = named.lstrip("+").partition("=")[0]
        if nearest(key, [group]) or nearest_key(key, []) == group:
            return f"no such key {key!r}; {did_you_mean(named)}"
    return f"no such key {key!r}; {advice(key, words)}"


def _unknown_in_file(file: str, group: str) -> str:
    if file.startswith("experiment/"):
        return f"conf/{file}.yaml must begin with the line '# @package _global_', so that it can override {group}"
    entry = f"- override /{group}@_global_.{group}: <option>"
    return f"conf/{file}.yaml overrides {group} below its own group; write '{entry}'"


def _bad_file(match: re.Match[str], words: Sequence[str]) -> str:
    file, text = f"conf/{match[1]}.yaml", match[2]
    found = re.search(r"full_key: (\S+)", match.string)
    key = found[1] if found else ""
    if text.startswith("Key ") and key:
        return f"{file}: no such key {key!r}; {advice(key, words)}"
    kind = _KINDS.get(_kind(key) or "")
    if not kind:
        return f"{file}: {_one_line(text)}"
    value = re.match(r"Value '(.*)' (?:of type|is not)", text)
    return f"{file}: {key} must be {kind}{_or_null(key)}" + (f", got {value[1]}" if value else "")


def _unknown_to_hydra(key: str, words: Sequence[str]) -> str:
    if "/" in key:
        close = nearest(key, GROUPS_OF_HYDRA)
        return f"no such group {key!r}; {did_you_mean(close, '--hydra-help lists the groups')}"
    if key.startswith("hydra.launcher.") and not any(word.startswith("hydra/launcher=") for word in words):
        return f"{key} is an option of another launcher; choose one, such as hydra/launcher=slurm"
    return f"no such key {key!r}; --cfg hydra shows Hydra's keys"


def _unknown_option(match: re.Match[str], words: Sequence[str]) -> str:
    group, _, option = match[1].rpartition("/")
    available = options().get(group) or re.findall(r"^\t(\w[\w-]*)$", match.string, re.MULTILINE)
    if not group or not available:
        return f"cannot find {match[1]}.yaml; --info searchpath shows where YAML is looked for"
    elsewhere = choices_like(option)
    if group == "metrics" and not elsewhere and (asked := _asked_for_quantity(option, available, words)):
        return asked
    close = nearest(option, available)
    meant = [choice(group, close)] if close and not elsewhere else elsewhere
    listed = ", ".join(available)
    told = f"{' or '.join(meant)} (all options: {listed})" if meant else None
    return f"{group} has no option {option!r}; {did_you_mean(told, f'choose one of {listed}')}"


def _asked_for_quantity(option: str, available: Sequence[str], words: Sequence[str]) -> str:
    """Return what to write for ``metrics=[accuracy]``, where evaluation is the option; "" if it is no quantity."""
    if nearest(option, available, cutoff=0.8) or not (found := asks_for(option)):
        return ""
    quantity, group, right = found
    word = next((word for word in words if word.lstrip("+").startswith("metrics=")), "")
    meant = with_option(word, option, group, right)
    return f"metrics has no option {option!r}, but {quantity} is a quantity of {right}; {did_you_mean(meant)}"


def _comma(match: re.Match[str], words: Sequence[str]) -> str:
    key, _, value = match[1].partition("=")
    kind = _kind(key)
    if key.lstrip("+") in LISTS or kind == "list":
        return f"{match[1]} needs brackets to be a list: {key}=[{value}]; as a sweep it needs -m"
    dotted = value.replace(",", ".", 1)
    is_decimal = kind == "float" and value.count(",") == 1
    return f"{match[1]} asks for several runs: add -m to run each" + (
        f", or write {key}={dotted}" if is_decimal else ""
    )


def _sweep(match: re.Match[str], words: Sequence[str]) -> str:
    return f"{match[1]} asks for several runs: add -m to run each"


def _has_default(match: re.Match[str], words: Sequence[str]) -> str:
    group = match[1]
    value = next((word.partition("=")[2] for word in words if word.startswith(f"+{group}=")), "<option>")
    return f"{group} has been chosen already, so write it without the plus: {group}={value}"


def _exists(match: re.Match[str], words: Sequence[str]) -> str:
    value = next((word.partition("=")[2] for word in words if word.startswith(f"+{match[1]}=")), "<value>")
    return f"{match[1]} exists already, so write it without the plus: {match[1]}={value}"


def _unreadable(override: str | None, words: Sequence[str]) -> str:
    word = override or next(iter(words), "")
    key, _, value = word.partition("=")
    if not re.fullmatch(r"[+~]{0,2}[\w./@-]*\w", key):
        return f"cannot read {word!r}: {key!r} is not a key; --cfg job shows all keys"
    if value.startswith("~"):
        return f"cannot read {word!r}: only the shell understands '~'; write the path out"
    if value.rstrip().endswith(","):
        return f"cannot read {word!r}: a value is missing after the last comma"
    if any(value.count(a) != value.count(b) for a, b in ("[]", "()", "{}")):
        return f"cannot read {word!r}: a bracket is not closed, or belongs in quotes"
    if value.count("'") % 2 or value.count('"') % 2:
        return f"cannot read {word!r}: a quote is not closed"
    return f"cannot read {word!r}: {_quoting(key, value)}"


def _quoting(key: str, value: str) -> str:
    """Return how to quote a value that Hydra cannot read."""
    if value.startswith("[") and value.endswith("]"):
        entries = (entry if re.fullmatch(r"[\w.+-]*", entry) else f'"{entry}"' for entry in value[1:-1].split(","))
        return f"put its entries and the whole into quotes, such as '{key}=[{','.join(entries)}]'"
    return f"put the value into two pairs of quotes, such as '{key}=\"{value}\"'"


def _omegaconf(error: OmegaConfBaseException, context: str, words: Sequence[str]) -> str:
    key = str(error.full_key or "")
    text = str(error).splitlines()[0] if str(error) else context
    if "nterpolation" in type(error).__name__:
        return f"{key} refers to something that is not there: {text}"
    kind = _kind(key)
    if kind is None:
        if re.match(r"Cannot assign \w+ to Dict", text):
            return (
                f"{key} must hold several values, such as {key}={{a: 1, b: 2}}, or null, got one that is none of these"
            )
        return f"{key}: {text}" if key else _one_line(text)
    given = re.match(r"Error merging override (.*?)=(.*)", context, re.DOTALL)
    whose = given[1].lstrip("+") if given else ""
    # Of several values that were given at once the text tells the one.
    told = re.sub(r"^(?:Value|Cannot convert .*:) '(.*?)'( of type .*| is not .*)?$", r"\1", text, flags=re.DOTALL)
    value = told if given is None or key.startswith(f"{whose}.") else given[2]
    if kind == "group":
        inner = [known for known in known_keys(words) if known.startswith(f"{key}.")]
        return f"{key} holds several values; set one of {', '.join(inner)}"
    if whose.startswith(f"{key}."):
        return f"{key} is a single value, so there is no key {whose}"
    return f"{key} must be {_KINDS[kind]}{_or_null(key)}, got {value}{_slip(key, kind, value)}"


def _slip(key: str, kind: str, value: str) -> str:
    """Return advice for the usual slips in a value, beginning with a semicolon; "" if none fits."""
    if value in ("None", "none", "nil", "Null"):
        return f"; write {key}=null for none" if "null" in _or_null(key) else ""
    if kind == "list":
        return f"; write {key}=[{value}]"
    if value.startswith("["):
        return f"; to run each value write -m {key}={value.strip('[]')}"
    if kind == "int" and re.fullmatch(r"[+-]?\d+(\.0*)?(e\+?\d+)?", value, re.IGNORECASE) and float(value).is_integer():
        return f"; write {key}={int(float(value))}"
    if named := choices_like(value):
        return f"; {did_you_mean(named[0])}"
    return ""


def _kind(key: str) -> str | None:
    """Return the kind of value a key holds, by its field in :class:`Config`; None if it has no type there."""
    hint = _hint(key)
    if hint is None or get_origin(hint) is dict:
        return None
    if is_dataclass(hint):
        return "group"
    plain = (
        next((item for item in get_args(hint) if item is not type(None)), hint)
        if get_origin(hint) is not list
        else list
    )
    return getattr(plain, "__name__", None)


def _or_null(key: str) -> str:
    kinds = get_args(_hint(key))
    # The word that may stand for a number, as in training.cohort, is auto.
    auto = ", or auto" if int in kinds and str in kinds else ""
    return auto + (", or null" if type(None) in kinds else "")


def _hint(key: str) -> Any:
    hint: Any = Config
    for part in key.lstrip("+").split("."):
        if not is_dataclass(hint):
            return None
        hint = next((item.type for item in fields(hint) if item.name == part), None)
    return hint


_ANSWERS: list[tuple[str, Callable[[re.Match[str], Sequence[str]], str]]] = [
    (r"In '([^']+)': \w+ raised while composing config:\n([^\n]*)", _bad_file),
    (r"Could not override '([^']+)'", _unknown_key),
    (r"Could not (?:find|load) '([^']+)'", _unknown_option),
    (r"Ambiguous value for argument '([^\n]+)'", _comma),
    (r"Sweep parameters '([^\n]+)' requires", _sweep),
    (r"Multiple values for ([\w/]+)\.", _has_default),
    (r"An item is already at '([^']+)'", _exists),
]
