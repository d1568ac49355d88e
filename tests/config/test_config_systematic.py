"""Every key of the configuration with every kind of wrong value: one sentence that names the key, or a sensible run.

A case is composed as on the command line, but what its words have in common only once: their defaults and options are
composed, and the one word that differs is applied by the same parser, conversion and checks. A sample of the cases is
composed from the start and must come out the same.
"""

import copy
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from fedlayers.config.arguments import overrides_of
from fedlayers.config.building import located
from fedlayers.config.compose import composed, hydra_ready, typed
from fedlayers.config.contradictions import contradictions, refuse_contradictions
from fedlayers.config.mistakes import explained
from fedlayers.config.options import options
from fedlayers.config.plugins import LEARNER
from fedlayers.config.schema.settings import Config, identity
from fedlayers.config.slips import check_words
from fedlayers.core.errors import UserError
from fedlayers.data import load_federation
from fedlayers.data.source import source_of
from fedlayers.execution.build import check_parts
from fedlayers.models import build_model

VALUES = {
    "a word": "word",
    "true": "true",
    "negative": "-1",
    "zero": "0",
    "huge": "1" + "0" * 23,
    "NaN": "nan",
    "infinite": "inf",
    "empty text": "''",
    "empty list": "[]",
    "a list": "[1,2]",
    "very long": "a" * 2001,  # more than a plug-in takes, and a sentence may have
}
# Never right for a number, nor the last for a text.
NO_NUMBER = ("a word", "true", "NaN", "infinite", "empty text", "empty list", "a list", "very long")
# But where a list may stand for it, as long as what the model here has of it.
RIGHT = {"learner.lambda_ace": ("empty list",)}
SMALL = ["clients=3", "examples_per_client=40", "partition=iid", "model.hidden=[8]", "metrics=[weights]", "rounds=2"]
# A test each, of which none takes minutes.
PARTS = 4
ASKED = {
    "algorithm=flower": ["algorithm.strategy._target_=flwr.serverapp.strategy.FedYogi"],
    "dataset=hub": ["dataset.path=nowhere/at_all"],
    "model=custom": ["model._target_=fedlayers.models.mlp.MLP", "+model.dropout=0.1"],
    "partition=natural": ["dataset=Heart", "examples_per_client=null"],
}


@dataclass(frozen=True)
class Start:
    """Words that cases have in common, what they compose to, and the keys that vary."""

    words: tuple[str, ...]
    content: DictConfig
    keys: tuple[str, ...]


@cache
def starts() -> list[Start]:
    """Compose the primary configuration and every option of every group once."""
    found = []
    with hydra_ready():
        for group, option in [("", ""), *((g, o) for g, names in options().items() for o in names)]:
            if group == "experiment":
                continue
            word = f"{group}={f'[{option}]' if group in ('metrics', 'similarity') else option}" if group else ""
            words = _words(group, word)
            content = composed(words)
            with open_dict(content):
                del content["hydra"]
            prefix = f"{group}.{option}" if group in ("metrics", "similarity") else group
            keys = [key for key in _flat(content, "") if _belongs(key, prefix)]
            found.append(Start(tuple(words), content, tuple(keys)))
    return found


def _words(group: str, word: str) -> list[str]:
    more = ASKED.get(word, [])
    taken = {item.partition("=")[0].lstrip("+") for item in [word, *more]} | {group}
    if group in ("dataset", "similarity"):
        taken |= {"partition", "model"} if group == "dataset" else {"metrics"}
    if "dataset" in "".join(more):
        taken.add("model")
    kept = [item for item in SMALL if not {item.partition("=")[0], item.split("=")[0].split(".")[0]} & taken]
    return [*kept, *(["metrics=[similarity]"] if group == "similarity" else []), *([word] if word else []), *more]


def _belongs(key: str, prefix: str) -> bool:
    if prefix:
        return key.startswith(f"{prefix}.")
    return key.split(".", maxsplit=1)[0] not in options() or key in ("metrics.on_error", "metrics.payload_mb")


def _flat(node: DictConfig, prefix: str) -> Iterator[str]:
    for name in node:
        yield f"{prefix}{name!s}"
        child = node._get_node(name)
        if isinstance(child, DictConfig) and not child._is_none():
            yield from _flat(child, f"{prefix}{name!s}.")


def outcome(start: Start, word: str, parser: OverridesParser) -> Config | str:
    """Return what one more word makes of a start: a configuration that has passed all checks, or the sentence."""
    words = _with(start.words, word)
    try:
        check_words(words)
        with _overridden(start.content, word, words, parser):
            config = typed(start.content, words)
        refuse_contradictions([contradictions(config, words)])
        check_parts(config)
        _build(config, word)
    except UserError as error:
        return str(error)
    return config


@contextmanager
def _overridden(content: DictConfig, word: str, words: Sequence[str], parser: OverridesParser) -> Iterator[None]:
    """Apply a word for a block of code; copying the one node that changes takes a hundredth of copying all."""
    parent, _, name = word.partition("=")[0].rpartition(".")
    node = OmegaConf.select(content, parent) if parent else content
    before = copy.deepcopy(node._get_node(name))
    try:
        with explained(words):
            ConfigLoaderImpl._apply_overrides_to_config(parser.parse_overrides([word]), content)
        yield
    finally:
        node.__dict__["_content"][name] = before


def _with(words: Sequence[str], word: str) -> list[str]:
    key = word.partition("=")[0]
    return [*(item for item in words if item.partition("=")[0].lstrip("+") != key), word]


def _build(config: Config, word: str) -> None:
    """Build the part that the word is about, as a run does, where that takes no data that have to be fetched."""
    group = word.split(".", maxsplit=1)[0]
    if group == "dataset":
        source_of(config.dataset)
    if group == "partition" and config.dataset["name"] == "digits":
        load_federation(config)
    if group == "model":
        build_model(config.model, (1, 8, 8), 10, seed=0)
    if group == "learner":
        look = getattr(located(LEARNER, config.learner), "check_model", None)
        given = {name: value for name, value in config.learner.items() if name not in ("name", "_target_")}
        if look:
            look(build_model(config.model, (1, 8, 8), 10, seed=0), torch.zeros(2, 1, 8, 8), 10, **given)


def wrong_with(start: Start, key: str, kind: str, came: Config | str) -> str:
    """Return what is wrong with an outcome; "" if nothing is."""
    if isinstance(came, str):
        parts = [part for part in key.split(".") if part != "_target_"]
        faults = {
            "several lines": "\n" in came,
            "too long": len(came) > 800,
            "names neither key nor group": not (parts[-1] in came or parts[0] in came),
            "sounds like a traceback": any(
                text in came for text in ("Traceback", 'File "', "Error:", " at 0x", "<class")
            ),
        }
        return ", ".join(fault for fault, holds in faults.items() if holds)
    if kind in RIGHT.get(key, ()):
        return ""
    before = OmegaConf.select(start.content, key)
    is_number = isinstance(before, int | float) and not isinstance(before, bool)
    is_whole = isinstance(before, int) and is_number
    accepted = (is_number and kind in NO_NUMBER) or (is_whole and kind == "huge")
    return "accepted" if accepted or (isinstance(before, str) and kind == "very long") else ""


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Start in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cases() -> Iterator[tuple[Start, str, str]]:
    """Yield every key with every kind of value.

    Several options of a group share keys, each read by one check, such as ``rounds`` of metrics: the first option meets
    every kind there, each further one another kind.
    """
    met: Counter[str] = Counter()
    for start in starts():
        for key in start.keys:
            name = re.sub(r"^(metrics|similarity|export|tracking)\.\w+\.", r"\1.", key)
            kinds = [*VALUES] if not met[name] else [[*VALUES][(met[name] - 1) % len(VALUES)]]
            yield from ((start, key, kind) for kind in kinds)
            met[name] += 1


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_every_key_with_every_kind_of_wrong_value(nowhere: Path, part: int) -> None:
    parser, faults = OverridesParser.create(), {}
    with hydra_ready():
        for start, key, kind in [*cases()][part::PARTS]:
            came = outcome(start, f"{key}={VALUES[kind]}", parser)
            if fault := wrong_with(start, key, kind, came):
                faults[f"{' '.join(start.words[-1:])} {key} {kind}"] = (
                    f"{fault}: {came if isinstance(came, str) else ''}"
                )
    assert faults == {}
    assert list(nowhere.iterdir()) == []


@pytest.mark.slow
def test_a_key_meets_every_kind() -> None:
    chosen = list(cases())
    assert len(chosen) > 2000
    assert {kind for start, key, kind in chosen if key == "algorithm.client._target_"} == {*VALUES}


def test_a_sample_is_the_same_when_composed_from_the_start() -> None:
    """The way that makes thousands of cases quick is that of the command line."""
    parser, draw = OverridesParser.create(), random.Random(0)
    for _ in range(12):
        start = draw.choice(starts())
        if not start.keys:
            continue
        word = f"{draw.choice(start.keys)}={draw.choice([*VALUES.values(), '0.37', '3'])}"
        with hydra_ready():
            quick = outcome(start, word, parser)
        assert _plain(_from_the_start(_with(start.words, word), word)) == _plain(quick), word


def _from_the_start(words: list[str], word: str) -> Config | str:
    try:
        with hydra_ready():
            config = typed(composed(overrides_of(words)), words)
        refuse_contradictions([contradictions(config, words)])
        check_parts(config)
        _build(config, word)
    except UserError as error:
        return str(error)
    return config


def _plain(came: Config | str) -> Any:
    return came if isinstance(came, str) else (identity(came), came)
