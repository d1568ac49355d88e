"""What kind of heterogeneity each client has, in words, with a stated rate of false alarms."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedlayers.core.kinds.shifts import shift_sentence, standing_out
from fedlayers.core.seeding import derive, numpy_generator
from metrics.shift.records import ComparedRecords, LabelledRecords, compared
from metrics.shift.three_tests import ShiftOfClass, ShiftTest, concept_shift, feature_shift, label_shift, support_shift

LEVEL = 0.05
# Smaller differences are not worth a word, however sure they are.
LEAST = 0.1
# Of a client's records in the support of the others' below which nothing is said about what labels mean; and by how
# much, as 2 AUC - 1, they are told from the others' whatever their labels above which nothing is.
_LEAST_SUPPORT, _MOST_APART = 0.5, 0.5


@dataclass(frozen=True)
class ShiftVerdict:
    """What is known about one client.

    Attributes:
        kinds: those of ``label``, ``feature`` and ``concept`` that it has; empty if none was found.
        tests: kind -> the test.
        adjusted: kind -> its p value after Holm, over all tests of all clients; NaN if it was not tested.
        unknown: kind -> why nothing can be said about it.
    """

    kinds: tuple[str, ...]
    tests: Mapping[str, ShiftTest]
    adjusted: Mapping[str, float]
    unknown: Mapping[str, str]

    def classes(self, kind: str) -> tuple[int, ...]:
        """Return the classes in which a kind of shift stands out, ascending; none if it does in most of them."""
        return tuple(standing_out({label: one.effect for label, one in sorted(self.tests[kind].classes.items())}))

    @property
    def sentence(self) -> str:
        """What the tests say, in words."""
        return self.told()

    def told(self, names: Sequence[str] = ()) -> str:
        """Return what the tests say in words, with the classes in which a shift stands out where classes have names.

        Args:
            names: of the classes; empty: none is named.
        """
        classes = {kind: [names[label] for label in self.classes(kind)] for kind in self.kinds} if names else None
        return shift_sentence({kind: self.adjusted[kind] for kind in self.kinds}, self.unknown, classes)


def shift_verdicts(
    clients: Mapping[int, LabelledRecords], classes: int, level: float = LEVEL, seed: int = 0
) -> dict[int, ShiftVerdict]:
    """Return what kind of heterogeneity each client has: it against all others together.

    Three tests, each blind to what the others look for: of the proportions of classes
    (:func:`metrics.shift.three_tests.label_shift`); of what records look like, within a class; within a class, of
    records that look like the others', of whether others would label them the same (``concept_shift``). A kind is named
    if its p value after Holm's correction, over all tests of all clients, is at most ``level`` and the difference is
    large enough to matter: an effect of 0.1 (for labels that mean something else also of 0.2 in one class), and for
    looks of 0.1 + 1 / (K − 1), 0.5 at most, as one odd client among the K − 1 others lets the like ones look odd by
    1 / (K − 1).

    Looks are three tests, of which three times the smallest p value counts. Two ask whether the client's records are
    told apart (``feature_shift``), among those that the others would label the same, whatever their labels, and also,
    the larger p value counting, (1) among those of a class that the others would label so, (2) among those of a class,
    if 2 AUC − 1 is 0.5 or more whatever their labels: of records that look different few get their own label from the
    others. The third asks whether more lie where the others have none (``support_shift``).

    If no client differs from the others, the probability that any kind is named of any client is at most ``level``.

    Where less than half of a client's records look like the others', nothing is said about what its labels mean; nor
    where its records are told from the others' whatever their labels (among those that the others would label the same,
    2 AUC − 1 of 0.5 or more): a model puts turned images beside those of other classes, as if their labels were
    exchanged. A client whose classes have other proportions and other meanings as well may so be named for its looks.

    Args:
        clients: client -> its records, two clients or more; features by a model that they have in common.
        classes: how many classes there are.
        level: of false alarms, in (0, 1).
        seed: decides on everything random.

    Raises:
        ValueError: there are fewer than two clients, or their records do not go together.

    References:
        Moreno-Torres et al. 2012, A unifying view on dataset shift in classification, Pattern Recognition 45; Kairouz
        et al. 2021, Advances and open problems in federated learning, arXiv 1912.04977, section 3.1; Holm 1979, A
        simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.

    Examples:
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> labels = [generator.integers(0, 2, 60) for _ in range(4)]
        >>> records = [3 * np.eye(2)[one] + generator.normal(size=(60, 2)) for one in labels]
        >>> labels[0] = 1 - labels[0]
        >>> clients = {client: LabelledRecords.of(records[client], labels[client]) for client in range(4)}
        >>> [verdict.kinds for verdict in shift_verdicts(clients, classes=2).values()]
        [('concept',), (), (), ()]
    """
    if len(clients) < 2:
        raise ValueError(f"clients must be two or more, got {len(clients)}")
    # So many that Holm's correction of the smallest possible p value, of 3 tests of 3 kinds, stays below the level.
    permutations = math.ceil(4 * 3 * len(clients) / level)
    tests, doubts = {}, {}
    for client, own in clients.items():
        others = [records for other, records in clients.items() if other != client]
        tests[client], doubts[client] = _tests(own, others, classes, permutations, derive(seed, "shift", 0, client))
    adjusted = holm({(client, kind): test.p for client, found in tests.items() for kind, test in found.items()})
    least = {"feature": min(0.5, LEAST + 1 / (len(clients) - 1))}
    return {
        client: _verdict(found, {kind: adjusted[client, kind] for kind in found}, doubts[client], level, least)
        for client, found in tests.items()
    }


def _tests(
    own: LabelledRecords, others: list[LabelledRecords], classes: int, permutations: int, seed: int
) -> tuple[dict[str, ShiftTest], str]:
    """Return the tests of one client, and why nothing can be said about what its labels mean, empty if it can."""
    counts = [np.bincount(records.labels, minlength=classes) for records in (own, *others)]
    labels = label_shift(counts[0], np.sum(counts[1:], 0), permutations, derive(seed, "label shift"))
    generator = numpy_generator(seed, "records beside the others'")
    records = compared(own, others, generator)
    looks = feature_shift(records, permutations, generator)
    places = support_shift(records, permutations, generator)
    concept = concept_shift(records, permutations, generator)
    by_vote = feature_shift(records, permutations, generator, within="vote")
    everywhere = None
    if by_vote.effect >= _MOST_APART:
        everywhere = _both(feature_shift(records, permutations, generator, within="label"), by_vote)
    tests = {"label": labels, "feature": _smallest(_both(looks, by_vote), places, everywhere), "concept": concept}
    return tests, _doubt(records, by_vote)


def _doubt(records: ComparedRecords, apart: ShiftTest) -> str:
    """Return why a client's records are not enough like the others' to compare labels, empty if they are."""
    support = float(records.supported[records.is_client].mean())
    if support < _LEAST_SUPPORT:
        return f"only {support:.0%} of its records look like the others'"
    if apart.p <= LEVEL and apart.effect >= _MOST_APART:
        return "its records look different from the others', whatever their labels"
    return ""


def _both(looks: ShiftTest, by_vote: ShiftTest) -> ShiftTest:
    """Return the first test with the p value that both are below: exchanged labels change no record of a vote."""
    return by_vote if math.isnan(by_vote.p) else replace(looks, p=max(looks.p, by_vote.p))


def _smallest(*tests: ShiftTest | None) -> ShiftTest:
    """Return the test with the smallest p value, which counts as often as there are tests, made or not."""
    made = [test for test in tests if test is not None and not math.isnan(test.p)]
    if not made:
        return next(test for test in tests if test is not None)
    best = min(made, key=lambda test: test.p)
    labels = sorted({label for test in made for label in test.classes})
    parts = {label: [test.classes[label] for test in made if label in test.classes] for label in labels}
    classes = {
        label: ShiftOfClass(max(one.effect for one in own), max(one.n for one in own)) for label, own in parts.items()
    }
    return ShiftTest(max(test.effect for test in made), min(1.0, len(tests) * best.p), best.n, classes=classes)


def _verdict(
    tests: Mapping[str, ShiftTest],
    adjusted: Mapping[str, float],
    doubt: str,
    level: float,
    least: Mapping[str, float],
) -> ShiftVerdict:
    unknown = {kind: test.reason for kind, test in tests.items() if test.reason}
    sizes = {kind: test.effect for kind, test in tests.items()}
    sizes["concept"] = max([sizes["concept"], *(one.effect / 2 for one in tests["concept"].classes.values())])
    kinds = [kind for kind in tests if adjusted[kind] <= level and sizes[kind] >= least.get(kind, LEAST)]
    if doubt and "concept" not in unknown:
        unknown["concept"] = doubt
        kinds = [kind for kind in kinds if kind != "concept"]
    return ShiftVerdict(tuple(kinds), tests, adjusted, unknown)


def holm(p_values: Mapping[tuple[int, str], float]) -> dict[tuple[int, str], float]:
    """Return p values after Holm's correction; NaN stays, and is no test.

    Args:
        p_values: of all tests.

    Examples:
        >>> holm({(0, "label"): 0.01, (0, "feature"): 0.04, (1, "label"): 0.03})
        {(0, 'label'): 0.03, (1, 'label'): 0.06, (0, 'feature'): 0.06}
    """
    known = sorted((key for key, p in p_values.items() if not math.isnan(p)), key=lambda key: p_values[key])
    found, highest = {}, 0.0
    for place, key in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - place) * p_values[key]))
        found[key] = highest
    return found | {key: math.nan for key, p in p_values.items() if math.isnan(p)}
