"""Groups of runs of all settings of a study, side by side: what a chain of layers answers is compared between them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from fedlayers.core.quantities import Quantities
from fedlayers.views.run_groups import Group, Setting

# Of a setting's facts, what tells where its runs were trained, and on what.
_PLACE = ("partition", "clients")


@dataclass(frozen=True)
class ChainGroup:
    """Runs that differ in nothing but their seed, and the setting they are in.

    Attributes:
        group: the runs, under a name that tells them from all others of the study.
        own: their name among those of their setting.
        facts: of the setting, see :class:`fedlayers.views.run_groups.Setting`.
    """

    group: Group
    own: str
    facts: Mapping[str, Any]

    @property
    def model(self) -> str:
        """The network's name."""
        return str(self.facts.get("model") or "model")


@dataclass(frozen=True)
class ChainStudy:
    """Runs whose layers are compared, of whatever model, algorithm and partition.

    Attributes:
        records: their single values.
        groups: by name.
        quantities: what is known of what they measured.
    """

    records: pd.DataFrame
    groups: tuple[ChainGroup, ...]
    quantities: Quantities

    @classmethod
    def of(cls, records: pd.DataFrame, settings: Sequence[Setting]) -> "ChainStudy":
        """Return the study of some runs.

        Args:
            records: of the runs of the settings.
            settings: of :func:`fedlayers.views.run_groups.settings_of`.
        """
        names = _names([setting.facts for setting in settings])
        groups = [
            ChainGroup(Group(", ".join([*words, group.name]), group.runs), group.name, setting.facts)
            for setting, words in zip(settings, names, strict=True)
            for group in setting.groups
        ]
        known = Quantities.of(facts for setting in settings for facts in setting.quantities.values())
        return cls(records, tuple(sorted(groups, key=lambda group: group.group.name)), known)

    @property
    def plain_groups(self) -> list[Group]:
        """The groups without their settings."""
        return [group.group for group in self.groups]

    @property
    def facts(self) -> Mapping[str, Any]:
        """The facts in which all groups agree, for a headline."""
        first = self.groups[0].facts
        shared = {key: value for key, value in first.items() if all(one.facts.get(key) == value for one in self.groups)}
        own = {one.own for one in self.groups}
        return shared | ({"algorithm": own.pop()} if len(own) == 1 else {})

    def comparable(self) -> Iterator[tuple[ChainGroup, ChainGroup]]:
        """Yield every two groups on one data set that share the model (how it was trained differs) or all but that."""
        for one, other in combinations(self.groups, 2):
            if one.facts.get("dataset") != other.facts.get("dataset"):
                continue
            alike = one.own == other.own and all(one.facts.get(key) == other.facts.get(key) for key in _PLACE)
            if one.model == other.model or alike:
                yield one, other


def alike_but_model(study: ChainStudy) -> list[list[ChainGroup]]:
    """Return the groups that are alike in all but their model, by model; of each sort there are two models or more."""
    sorts: dict[tuple[Any, ...], list[ChainGroup]] = {}
    for group in study.groups:
        key = (group.own, *(group.facts.get(name) for name in ("dataset", *_PLACE)))
        sorts.setdefault(key, []).append(group)
    return [sorted(groups, key=lambda group: group.model) for groups in sorts.values() if len(groups) > 1]


def _names(settings: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return for each setting the words that tell it from the others: ``greedy_mlp``, ``10 clients``."""
    varied = [key for key in ("dataset", "model", *_PLACE) if len({str(facts.get(key)) for facts in settings}) > 1]
    return [[_word(key, facts.get(key)) for key in varied] for facts in settings]


def _word(key: str, value: Any) -> str:
    return f"{value} client{'' if value == 1 else 's'}" if key == "clients" else str(value)
