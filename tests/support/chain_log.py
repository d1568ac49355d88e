"""What the chain of metric predictors demands of its log, written from its description."""

import json
from collections.abc import Iterator
from typing import Any

_NUMBER = (int, float)
_ALWAYS: dict[str, Any] = {"phase": str, "epoch": int, "iter": int, "acc": _NUMBER}
_TRAIN: dict[str, Any] = {"step": int, "loss": _NUMBER}
_MAY: dict[str, Any] = {"timestamp": str, "metrics": dict, "train_metrics": dict}


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no JSON")


def problems(log: str) -> Iterator[str]:
    """Yield what is wrong with each line."""
    for number, line in enumerate(log.splitlines(), 1):
        entry = json.loads(line, parse_constant=_refuse)
        train = entry["phase"] == "train"
        fields = {**_ALWAYS, **(_TRAIN if train else {})}
        yield from (f"{number}: no {name}" for name in fields if name not in entry)
        for name, value in entry.items():
            kind = {**fields, **_MAY}.get(name)
            if kind is None or not isinstance(value, kind) or isinstance(value, bool):
                yield f"{number}: {name} is {value!r}"
        if entry["phase"] not in ("train", "val") or entry["epoch"] < 1 or (entry["iter"] >= 1) != train:
            yield f"{number}: phase, epoch or iter"
        for layer, values in entry.get("metrics", {}).items():
            if not layer.removeprefix("layer_").isdecimal() or not isinstance(values, dict):
                yield f"{number}: {layer}"
            yield from (f"{number}: {name}" for name, value in values.items() if not isinstance(value, _NUMBER))
