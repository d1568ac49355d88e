"""``ClassPerformanceTracker``: precision, recall, F1 and average precision of every class and tier, epoch by epoch."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from fedlayers.core.quantities import Facts
from fedlayers.core.records import Row
from metrics.class_performance import figures
from metrics.class_performance.counting import ClassTally
from metrics.class_performance.given_counts import fitting
from metrics.class_performance.label_groups import answers_of, group_names, in_groups, named_classes
from metrics.class_performance.rows import FACTS, class_rows
from metrics.class_performance.score_histograms import BINS
from metrics.class_performance.scores import ClassResult, TierResult, as_dictionary, tier_results
from metrics.class_performance.tiers import given_tiers, schemes
from metrics.tracking.arguments import epoch_number
from metrics.tracking.drawing import file_name
from metrics.tracking.isolation import TrackingMistake, isolated, tell
from metrics.tracking.tracker import Tracker

# Of a sentence that is told once, whatever its numbers.
_NO_DIGITS = str.maketrans("", "", "0123456789")


@dataclass(frozen=True)
class GroupResult:
    """The results of one label group in one epoch.

    Attributes:
        classes: class -> result.
        tiers: scheme (``given``, ``percentile``, ``threshold``, ``own_…``) -> tier -> result.
    """

    classes: Mapping[str, ClassResult]
    tiers: Mapping[str, Mapping[str, TierResult]]


@dataclass
class _Group:
    labels: tuple[str, ...]
    schemes: dict[str, dict[str, str]]
    now: ClassTally | None = None
    history: dict[int, GroupResult] = field(default_factory=dict)


class ClassPerformanceTracker(Tracker):
    """Counts predictions as they stream in; memory does not grow with them: 32 kB a class, and scores an epoch.

    Args:
        attributes: names of the label groups; None for those of the maps, or of the first update.
        label_to_idx_dict: group -> class -> place of its output (of one group also class -> place).
        idx_to_label_dict: the same the other way round; one of both is enough, and none gives numbers as names.
        hmt_info: group -> ``head``, ``medium``, ``tail`` -> class -> number of its training examples.
        save_dir: the folder for figures and files.
        train_counts: group -> class -> number of its training examples, of all clients in a federation: tiers by
            percentiles and by thresholds. Those of ``hmt_info`` if not given.
        own_counts: the same of the client's own examples.
        scope: the data that predictions are of, as tables of runs name it.

    Raises:
        ValueError: the maps do not number the classes from 0.
    """

    facts: ClassVar[tuple[Facts, ...]] = FACTS
    file: ClassVar[str] = "class_performance_metrics.json"

    def __init__(
        self,
        attributes: Iterable[str] | None = None,
        label_to_idx_dict: Mapping[str, Any] | None = None,
        idx_to_label_dict: Mapping[Any, Any] | None = None,
        hmt_info: Mapping[str, Any] | None = None,
        save_dir: str | Path = "visualizations/class_metrics",
        train_counts: Mapping[str, Mapping[str, float]] | None = None,
        own_counts: Mapping[str, Mapping[str, float]] | None = None,
        scope: str = "client_val",
    ) -> None:
        super().__init__(save_dir)
        self._given = {
            name: self._by_group(name, given)
            for name, given in (("hmt_info", hmt_info), ("train_counts", train_counts), ("own_counts", own_counts))
        }
        self._left_out: set[tuple[str, str]] = set()
        self._scope = scope
        self._attributes = group_names(attributes)
        self._groups: dict[str, _Group] = {}
        for group, labels in named_classes(self._attributes, label_to_idx_dict, idx_to_label_dict).items():
            self._groups[group] = self._new_group(group, labels)
        self._epoch: int | None = None
        if self._groups:
            self._tell_strange_groups()

    def _by_group(self, argument: str, given: Any) -> dict[str, Any]:
        if given is None or isinstance(given, Mapping):
            return {str(group): held for group, held in (given or {}).items()}
        tell(self, f"{argument} must be a dictionary of label groups, got {type(given).__name__}: it is left out")
        return {}

    def _tell_strange_groups(self) -> None:
        """Tell of groups that nothing is predicted of, where another group has no entry: a name is misspelt."""
        for argument, given in self._given.items():
            unlike = given.keys() - self._groups.keys() if self._groups.keys() - given.keys() else ()
            for group in sorted(unlike):
                tell(self, f"{argument} names {group}, which is no label group: give some of {', '.join(self._groups)}")

    def _new_group(self, group: str, labels: Iterable[str]) -> _Group:
        labels, fits = tuple(labels), {}
        for argument, given in self._given.items():
            fits[argument], told = fitting(argument, group, labels, given.get(group))
            for sentence in told:
                tell(self, sentence)
            if group in given:
                given[group] = fits[argument]
        info, _, own = fits.values()
        return _Group(labels, schemes(labels, info, self._counts_of(group), own))

    def _counts_of(self, group: str) -> Mapping[str, float]:
        known: Mapping[str, float] = self._given["train_counts"].get(group) or {}
        return known or given_tiers(self._given["hmt_info"].get(group))[1]

    @isolated
    def start_epoch(self, epoch: int) -> None:
        """Begin an epoch; what was counted since the last one's end, and was not ended, is left out of both."""
        epoch = epoch_number(epoch)
        if self._epoch is not None and any(group.now for group in self._groups.values()):
            tell(
                self, f"epoch {self._epoch} of class performance was not ended: call update_epoch_results or end_epoch"
            )
        self._epoch = epoch
        for group in self._groups.values():
            group.now = None

    @isolated
    def update(self, logits_dict: Any, labels_dict: Any) -> None:
        """Count a batch of predictions, or all of a validation set.

        Args:
            logits_dict: group -> outputs before sigmoid or softmax, shape (n, C); one tensor where there is one group.
            labels_dict: group -> ones and zeros (n, C), several labels an example, or classes (n,), one label.
        """
        names = list(self._groups) or self._attributes or []
        logits = in_groups(logits_dict, names, "logits_dict")
        labels = in_groups(labels_dict, names, "labels_dict")
        for name in logits.keys() - labels.keys():
            tell(self, f"labels_dict has no {name}, which logits_dict has: it is left out; give labels of every group")
        for name in logits.keys() & labels.keys():
            try:
                self._count(name, logits[name], labels[name])
            except TrackingMistake as mistake:
                tell(self, f"{mistake}; this group's predictions are left out")
        if self._groups:
            self._tell_strange_groups()

    def _count(self, name: str, logits: Tensor, labels: Tensor) -> None:
        group = self._groups.get(name)
        if group is None and self._groups and self._attributes is not None:
            raise TrackingMistake(f"{name} is none of the attributes {', '.join(self._groups)}")
        answers = answers_of(name, logits, labels, len(group.labels) if group else None)
        classes = answers.scores.shape[1]
        if group is None:
            counts = self._given["train_counts"].get(name) or given_tiers(self._given["hmt_info"].get(name))[1]
            known = [str(label) for label in counts] if isinstance(counts, Mapping) else []
            labels_of = known if len(known) == classes else map(str, range(classes))
            group = self._groups[name] = self._new_group(name, labels_of)
        if answers.left_out and (kind := (name, answers.left_out.translate(_NO_DIGITS))) not in self._left_out:
            self._left_out.add(kind)
            more = "told once, more may follow"
            when = "the epoch" if self._epoch is None else f"epoch {self._epoch}"
            tell(self, f"{answers.left_out} in {name} are left out; {when} counts the others ({more})")
        tally = ClassTally.of(answers)
        group.now = tally if group.now is None else group.now + tally

    @isolated
    def end_epoch(self, epoch: int | None = None) -> None:
        """Turn what was counted into the scores of an epoch, and count from zero again.

        Args:
            epoch: its number; that of ``start_epoch``, or the next one, if it is not given.
        """
        epoch = None if epoch is None else epoch_number(epoch)
        started, self._epoch = self._epoch, None
        number = epoch if epoch is not None else started
        if number is None:
            number = 1 + max((last for group in self._groups.values() for last in group.history), default=0)
        found: list[Row] = []
        for name, group in self._groups.items():
            if group.now is not None:
                group.history[number] = result = _result(group, group.now)
                group.now = None
                found += class_rows(name, result.classes, result.tiers, self._scope)
        if found:
            self._rows[number] = found

    def results(self, epoch: int | None = None) -> dict[str, GroupResult]:
        """Return group -> results of an epoch, of the one that is under way, or else the last one, if None."""
        found = {}
        for name, group in self._groups.items():
            if epoch is None and group.now is not None:
                found[name] = _result(group, group.now)
            elif group.history and (epoch is None or epoch in group.history):
                found[name] = group.history[max(group.history) if epoch is None else epoch]
        return found

    def content(self) -> dict[str, Any]:
        """Return ``class_metrics`` and ``type_metrics`` of now or the last epoch, and both of every epoch as history.

        A class without examples has ``"status": "absent"`` and None for its scores. ``type_metrics`` is by the first
        of the ``tier_schemes``.
        """
        epochs = sorted({epoch for group in self._groups.values() for epoch in group.history})
        return {
            **self._as_dictionaries(self.results()),
            "tier_schemes": {name: group.schemes for name, group in self._groups.items()},
            "training_counts": {name: dict(self._counts_of(name)) for name in self._groups},
            "score_bins": BINS,
            "history": [{"epoch": epoch, **self._as_dictionaries(self.results(epoch))} for epoch in epochs],
        }

    def _as_dictionaries(self, results: Mapping[str, GroupResult]) -> dict[str, Any]:
        classes, types, all_types = {}, {}, {}
        for name, result in results.items():
            first, tiers = next(iter(self._groups[name].schemes.items()))
            classes[name] = {
                label: {
                    **as_dictionary(one),
                    "support": one.support,
                    "type": tiers[label],
                    "status": "ok" if one.support else "absent",
                }
                for label, one in result.classes.items()
            }
            all_types[name] = {
                scheme: {tier: as_dictionary(one) for tier, one in of_tiers.items()}
                for scheme, of_tiers in result.tiers.items()
            }
            types[name] = all_types[name][first]
        return {"class_metrics": classes, "type_metrics": types, "type_metrics_by_scheme": all_types}

    def draw(self) -> dict[str, Callable[[], Any]]:
        """Return the figures that can be drawn: class distribution, scores by tier, curves by tier."""
        found: dict[str, Callable[[], Any]] = {}
        for name, result in self.results().items():
            stem, (scheme, tiers) = file_name(name), next(iter(self._groups[name].schemes.items()))
            if counts := self._counts_of(name):
                found[f"{stem}_class_distribution"] = partial(figures.class_distribution, name, counts, tiers)
            shown = name, result.classes, result.tiers[scheme], tiers
            found[f"{stem}_scores_by_class_type"] = partial(figures.scores_by_tier, *shown)
            found[f"{stem}_pr_curves"] = partial(figures.curves_by_tier, *shown)
        return found

    @isolated
    def visualize(self) -> list[Path]:
        """Draw the figures into ``save_dir``, write tables and JSON beside them, and return the figures' files."""
        if any(group.now for group in self._groups.values()) and not self.is_managed:
            self.end_epoch()
        if not self.results():
            raise TrackingMistake("there is no class performance to show yet: call update(logits_dict, labels_dict)")
        return self.write_all()

    @contextmanager
    def epoch(self, epoch: int) -> Iterator["ClassPerformanceTracker"]:
        """Track an epoch in a block of code: its predictions go to :meth:`update`."""
        self.start_epoch(epoch)
        yield self
        self.end_epoch()


def _result(group: _Group, now: ClassTally) -> GroupResult:
    classes = now.results(group.labels)
    return GroupResult(classes, {scheme: tier_results(classes, tiers) for scheme, tiers in group.schemes.items()})
