"""The tree of preprocessing steps: executions counted by the steps themselves, results against every chain alone."""

import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest
import torch

from metrics.distances.steps.elementary import Flatten2DStep, NoBiasStep, NormaliseStep, WeightBiasFusion2DStep
from metrics.distances.steps.preprocessing import PreprocessingStep, preprocess_clients
from metrics.distances.tree import PreprocessingTree, size_bytes
from metrics.distances.weights.participant import Client, LayerWeights, RoleArray, vector_of

# The documented example: five metrics, 14 steps, 8 after merging, with four sets: the given one, 2, 1-4 and 2-3-5.
DOCUMENTED = {"A": (1, 4, 3), "B": (2, 3, 5), "C": (2, 5), "D": (1, 4, 5), "E": (2, 3, 5)}


@dataclass(frozen=True)
class Noted:
    """Appends its number to a payload of numbers, and counts its calls."""

    number: int
    cost: float = 1.0
    calls: Counter[int] = field(default_factory=Counter, compare=False)

    def __call__(self, payload: tuple[int, ...]) -> tuple[int, ...]:
        self.calls[self.number] += 1
        return (*payload, self.number)


def chains_of(
    numbers: Mapping[str, Sequence[int]], calls: Counter[int], costs: Mapping[int, float] | None = None
) -> dict[str, list[Noted]]:
    """Return chains of equal but not identical steps."""
    return {
        name: [Noted(number, (costs or {}).get(number, 1.0), calls) for number in chain]
        for name, chain in numbers.items()
    }


def executed(numbers: Mapping[str, Sequence[int]], max_sets: int | None = None) -> int:
    """Run the chains, compare every result with the chain alone, return how often the steps were called."""
    calls: Counter[int] = Counter()
    tree = PreprocessingTree(chains_of(numbers, calls), max_sets)
    assert dict(tree.run(())) == {name: tuple(chain) for name, chain in numbers.items()}
    assert tree.steps_executed == calls.total()
    assert max_sets is None or tree.sets_kept <= max_sets + 1
    return calls.total()


def test_the_documented_example_takes_eight_steps_and_four_sets() -> None:
    calls: Counter[int] = Counter()
    tree = PreprocessingTree(chains_of(DOCUMENTED, calls))
    assert dict(tree.run(())) == DOCUMENTED
    assert calls == {1: 1, 2: 1, 3: 2, 4: 1, 5: 3}
    assert (calls.total(), tree.steps_executed, tree.sets_kept) == (8, 8, 4)
    assert {tuple(step.number for step in steps) for steps in tree.kept} == {  # type: ignore[attr-defined]
        (),
        (2,),
        (1, 4),
        (2, 3, 5),
    }


# 2-3-5 saves 3 steps; then 1-4 saves 2, while 2 saves 1 for what starts from it: C and 2-3-5.
@pytest.mark.parametrize(("max_sets", "steps"), [(0, 14), (1, 11), (2, 9), (3, 8), (4, 8), (None, 8)])
def test_fewer_sets_take_more_steps(max_sets: int | None, steps: int) -> None:
    assert executed(DOCUMENTED, max_sets) == steps


@pytest.mark.parametrize(
    ("numbers", "steps", "alone"),
    [
        ({}, 0, 0),
        ({"a": ()}, 0, 0),
        ({"a": (), "b": (), "c": (1,)}, 1, 1),
        ({"a": (1, 2, 3)}, 3, 3),
        ({"a": (1, 2, 3), "b": (1, 2, 3)}, 3, 6),
        # All chains share their first two steps.
        ({"a": (1, 2, 3), "b": (1, 2, 4), "c": (1, 2)}, 4, 8),
        # One chain is the beginning of another, behind a node that is not worth keeping.
        ({"a": (1, 2), "b": (1, 2, 3, 4), "c": (1, 2, 3, 4, 5)}, 5, 11),
        # A step may come twice in a chain.
        ({"a": (1, 1), "b": (1, 1, 2), "c": (1, 2)}, 4, 7),
        ({"a": (1, 2), "b": (2, 1)}, 4, 4),
    ],
)
def test_shared_beginnings_run_once(numbers: dict[str, tuple[int, ...]], steps: int, alone: int) -> None:
    assert executed(numbers) == steps
    assert executed(numbers, max_sets=0) == alone


def random_chains(seed: int) -> dict[str, tuple[int, ...]]:
    draw = Random(seed)
    return {str(n): tuple(draw.choices((1, 2, 3), k=draw.randrange(6))) for n in range(draw.randrange(1, 9))}


@pytest.mark.parametrize("seed", range(40))
def test_random_chains_run_every_beginning_once_and_never_more_with_more_sets(seed: int) -> None:
    numbers = random_chains(seed)
    beginnings = {chain[:length] for chain in numbers.values() for length in range(1, len(chain) + 1)}
    counts = [executed(numbers, sets) for sets in range(6)]
    assert counts[0] == sum(map(len, numbers.values()))
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] >= executed(numbers) == len(beginnings)


def test_the_dearest_common_beginning_is_kept_first() -> None:
    numbers = {"a": (1, 9), "b": (1, 8), "c": (1, 7), "d": (2, 9), "e": (2, 8)}
    for costs, kept in (({1: 1.0, 2: 1.0}, 1), ({1: 1.0, 2: 5.0}, 2)):
        calls: Counter[int] = Counter()
        tree = PreprocessingTree(chains_of(numbers, calls, costs), max_sets=1)
        dict(tree.run(()))
        assert calls[kept] == 1 and calls[3 - kept] > 1


def test_results_and_counts_do_not_depend_on_the_order_of_the_chains() -> None:
    numbers = random_chains(3) | DOCUMENTED
    turned = dict(reversed(numbers.items()))
    for sets in (0, 2, None):
        assert executed(numbers, sets) == executed(turned, sets)


def test_a_second_run_counts_anew() -> None:
    tree = PreprocessingTree(chains_of(DOCUMENTED, Counter()))
    assert [dict(tree.run(())), tree.steps_executed] == [dict(tree.run(())), 8]
    assert list(PreprocessingTree[tuple[int, ...]]({"a": []}).run((7,))) == [("a", (7,))]


def test_a_negative_number_of_sets_is_refused() -> None:
    with pytest.raises(ValueError, match="max_sets must be 0 or more, or None, got -1"):
        PreprocessingTree({"a": [NoBiasStep()]}, max_sets=-1)


class Box:
    """A payload that can be watched."""

    def __init__(self, content: tuple[int, ...]) -> None:
        self.content = content


@dataclass(frozen=True)
class Watched:
    """Makes boxes and remembers them weakly."""

    number: int
    boxes: list["weakref.ref[Box]"] = field(compare=False)
    cost: float = 1.0

    def __call__(self, payload: Box) -> Box:
        box = Box((*payload.content, self.number))
        self.boxes.append(weakref.ref(box))
        return box


def alive(boxes: Sequence["weakref.ref[Box]"]) -> set[tuple[int, ...]]:
    return {box.content for ref in boxes if (box := ref()) is not None}


def test_sets_are_freed_once_their_last_user_has_started() -> None:
    boxes: list[weakref.ref[Box]] = []
    chains = {name: [Watched(number, boxes) for number in chain] for name, chain in DOCUMENTED.items()}
    tree = PreprocessingTree(chains)
    remaining = {}
    run: Iterator[tuple[str, Box]] = tree.run(Box(()))
    for name, box in run:
        assert box.content == DOCUMENTED[name]
        del box
        remaining[name] = alive(boxes)
    # 1-4 goes when the second of A and D runs; 2 when 2-3-5 is made of it; 2-3-5 with the second of B and E.
    assert remaining == {"B": {(2, 3, 5)}, "E": set(), "C": {(2,)}, "A": {(1, 4)}, "D": set()}
    assert alive(boxes) == set()


def test_the_given_payload_is_freed_too() -> None:
    boxes: list[weakref.ref[Box]] = []
    payload = Box(())
    watch = weakref.ref(payload)
    run = PreprocessingTree({"a": [Watched(1, boxes)]}).run(payload)
    del payload
    next(run)
    assert watch() is None


def some_clients() -> list[Client]:
    draw = np.random.default_rng(0)
    clients = []
    for _ in range(3):
        conv = (RoleArray("weight", draw.normal(size=(4, 3, 2, 2))), RoleArray("bias", draw.normal(size=4)))
        fc = (RoleArray("weight", draw.normal(size=(2, 4))), RoleArray("bias", draw.normal(size=2)))
        model = (LayerWeights("conv", "conv", conv), LayerWeights("fc", "linear", fc))
        clients.append(Client(model, model))
    return clients


def test_clients_come_out_as_from_every_chain_alone() -> None:
    chains: dict[str, list[PreprocessingStep]] = {
        "none": [],
        "flat": [NoBiasStep(), Flatten2DStep()],
        "unit": [NoBiasStep(), Flatten2DStep(), NormaliseStep()],
        "whole": [NoBiasStep(), Flatten2DStep(), NormaliseStep("model")],
        "fused": [WeightBiasFusion2DStep(), NormaliseStep()],
    }
    clients = some_clients()
    tree: PreprocessingTree[Sequence[Client]] = PreprocessingTree(chains)
    for name, found in tree.run(clients):
        for a, b in zip(found, preprocess_clients(clients, chains[name]), strict=True):
            assert np.array_equal(vector_of(a.model), vector_of(b.model))
    # Steps of one class with different parameters are different work.
    assert tree.steps_executed == 6


@dataclass(frozen=True)
class Centre:
    """A step for activations: every unit to mean 0."""

    cost: float = 1.0

    def __call__(self, payload: list[np.ndarray]) -> list[np.ndarray]:
        return [values - values.mean(0) for values in payload]


@dataclass(frozen=True)
class Rank:
    """A step for activations: the first principal directions, as scores."""

    directions: int
    cost: float = 20.0

    def __call__(self, payload: list[np.ndarray]) -> list[np.ndarray]:
        return [values @ np.linalg.svd(values, full_matrices=False)[2][: self.directions].T for values in payload]


def test_activations_go_through_a_tree_as_well() -> None:
    draw = np.random.default_rng(0)
    activations = [draw.normal(size=(20, 5)) for _ in range(3)]
    chains: dict[str, list[Centre | Rank]] = {
        "cka": [Centre()],
        "svcca": [Centre(), Rank(2)],
        "deep": [Centre(), Rank(3)],
    }
    tree: PreprocessingTree[list[np.ndarray]] = PreprocessingTree(chains)
    found = dict(tree.run(activations))
    assert tree.steps_executed == 3
    for values, scores in zip(activations, found["svcca"], strict=True):
        assert np.array_equal(scores, Rank(2)([values - values.mean(0)])[0])
    assert [values.shape for values in found["deep"]] == [(20, 3)] * 3


def test_bytes_are_those_of_all_arrays() -> None:
    arrays_of_one = 8 * (4 * 12 + 4 + 2 * 4 + 2)
    assert size_bytes(some_clients()) == 3 * 2 * arrays_of_one
    assert size_bytes({"a": np.zeros(3, np.float32), "b": (torch.zeros(5, dtype=torch.float64), None)}) == 12 + 40
    assert size_bytes("none") == 0
