"""Slips of the pen in ``key=value`` words, told in a sentence before Hydra sees them."""

import re
from collections.abc import Sequence

from fedlayers.config.advice import nearest_key
from fedlayers.config.options import GROUPS_OF_HYDRA, LISTS, choice, choices_like, known_keys, options
from fedlayers.config.set_values import parsed
from fedlayers.core.errors import UserError
from fedlayers.core.spelling import did_you_mean, nearest

_QUOTES = re.compile("[“”‘’«»„]")
_KEY = re.compile(r"[+~]{0,2}\w[\w./@-]*")
_REMOVES = "nothing is removed with '~' but a metric or measure (~metrics.<name>); give another value, or null"


def check_words(words: Sequence[str]) -> None:
    """Raise UserError for the first word that is not of the form ``key=value``, or says something twice."""
    for position, word in enumerate(words):
        slip = _slip(word, words[position - 1] if position else "", words[position + 1 :])
        if slip:
            raise UserError(" ".join(slip.splitlines()))
    _refuse_twice(words)


def refuse_options_without_names(words: Sequence[str]) -> None:
    """Raise UserError for an option that is no text, such as 1, nan or null, alone or in a list.

    Hydra answers with what it came to when it looked for that option's file.
    """
    for word in words:
        one = parsed(word)
        group = one.key_or_group
        if (group not in options() and group not in GROUPS_OF_HYDRA) or one.is_sweep_override() or one.is_delete():
            continue
        value = one.value()
        chosen = value if isinstance(value, list) else [value]
        if not isinstance(value, dict) and not all(isinstance(option, str) for option in chosen):
            names = ", ".join(options().get(group, [])) or "its options (--info searchpath shows where they are)"
            kind = f"a list of some of {names}" if group in LISTS else f"one of {names}"
            raise UserError(f"{group} must be {kind}, got {word.partition('=')[2]}")


def _slip(word: str, before: str, after: Sequence[str]) -> str:
    """Return what is wrong with a word, given those around it; "" if nothing is."""
    key, equals, value = word.partition("=")
    if _QUOTES.search(word):
        return f"{word} holds typographic quotes; type plain ones, or none"
    if not key.strip() or (equals and not value and after and "=" not in after[0]):
        follows = value or next((item for item in after if item.strip("= ")), "")
        return _spaces(key.strip() or before, follows)
    if not equals:
        return "" if word.startswith(tuple(f"~{group}." for group in LISTS)) else _without_equals(word, before, after)
    if word[0] == "~":
        return f"{word}: {_REMOVES}"
    return _bad_key(word, key) or _bad_value(key, value) or _bad_choice(key, value)


def _spaces(key: str, value: str) -> str:
    return f"leave no spaces around '=': write {key}={value.lstrip('= ') or '<value>'}"


def _bad_key(word: str, key: str) -> str:
    if key[0] in "'\"[{(" or " " in key:
        return f"cannot read {word!r}: write key=value without brackets, quotes or spaces around the key"
    return "" if _KEY.fullmatch(key) else f"cannot read {word!r}: {key!r} is not a key; --cfg job shows all keys"


def _bad_value(key: str, value: str) -> str:
    if not value.strip():
        return f"{key} has no value; write {key}=<value>"
    if value.startswith("="):
        return f"one '=' is enough: write {key}={value.lstrip('=')}"
    if re.search(r"[;,&]\s*\+?[a-z][\w.]*=", value) and not re.search(r"[\"'{(\[]", value):
        return f"{key}={value} holds more than one key: write them apart, with a space between"
    return ""


def _bad_choice(key: str, value: str) -> str:
    """Refuse a list of options where one is chosen, and labels that would misname the results."""
    group, _, last = key.lstrip("+").partition(".")
    if group not in options() or group in (*LISTS, "engine"):
        return ""
    if not last and value.startswith("["):
        return f"{group} takes one option; to run each write -m {choice(group, value.strip('[]'))}"
    named = last == "name" and any(name in options()[group] for name in value.split(","))
    return f"{key} only labels the results; to choose the option write {choice(group, value)}" if named else ""


def _without_equals(word: str, before: str, after: Sequence[str]) -> str:
    """Say what was probably meant by a word that has no '='."""
    follows = after[0] if after and "=" not in after[0] else ""
    if after and after[0].startswith("="):
        return _spaces(word, after[0].lstrip("=") or "".join(after[1:2]))
    if word.startswith("~"):
        return f"{word}: {_REMOVES}"
    if before.endswith(",") or word.startswith(","):
        return f"leave no spaces in a list: write {before}{word}{follows if word.endswith(',') else ''}"
    if word == "?" or nearest(word, ["help", "usage"]):
        return "write --help to see what can be said"
    return _another_sign(word) or _bare_name(word, follows)


def _another_sign(word: str) -> str:
    """Recognise ``dataset:FMNIST``, ``dataset.FMNIST``, ``dataset/FMNIST`` and ``rounds:20``."""
    for sign in ":./":
        name, _, value = word.lstrip("+").partition(sign)
        settable = sign == ":" and value and (name in known_keys(()) or name in options())
        if settable or value in options().get(name, []):
            return f"{word} needs '=': write {choice(name, value.strip())}"
    return ""


def _bare_name(word: str, follows: str) -> str:
    if meant := choices_like(word):
        return f"{word} alone says too little: write {' or '.join(meant)}"
    if word in options() or word in known_keys(()):
        return f"{word} needs '=' and a value: write {choice(word, follows or '<value>')}"
    close = nearest_key(word, [*known_keys(()), *options()])
    advice = did_you_mean(f"{close}=<value>" if close else None, "--help shows how to begin")
    return f"{word!r} is not of the form key=value; {advice}"


def _refuse_twice(words: Sequence[str]) -> None:
    """Raise UserError if a key is given twice; Hydra would silently take the last one."""
    first: dict[str, str] = {}
    for word in words:
        key = word.partition("=")[0].lstrip("+")
        if key in first and key == "dataset":
            raise UserError(
                f"two data sets at once, {first[key]} and {word}: leave one, or run both with -m dataset=A,B"
            )
        if key in first:
            raise UserError(f"{key} is given twice, as {first[key]} and {word}; leave one")
        first[key] = word
