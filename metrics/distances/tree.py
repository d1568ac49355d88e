"""Chains of steps that begin alike, run as a tree: common beginnings once, their results kept as long as needed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from metrics.nested_arrays import nested_arrays

T = TypeVar("T")
# A node of the prefix tree: the steps from the root to it, by number.
Node = tuple[int, ...]


class ChainStep(Protocol[T]):
    """One step: hashable, equal steps do equal work.

    See :class:`metrics.distances.steps.preprocessing.PreprocessingStep`.
    """

    @property
    def cost(self) -> float:
        """Time of one application, relative to that of other steps."""
        ...

    def __call__(self, payload: T, /) -> T:
        """Return a new payload; the given one stays as it is."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class _Job:
    """Go from a kept set through some steps to what is kept next, or, with a name, to the end of a chain."""

    source: Node
    target: Node
    name: str | None
    last: bool


class PreprocessingTree(Generic[T]):
    """Runs several chains of steps on one payload with fewer executions than every chain alone.

    The chains are merged into a prefix tree. Some of its nodes are kept: their payload is computed once, from the
    nearest kept node above, and everything that passes through the node starts from it. With c steps' summed cost
    between a node and the nearest kept one above and u users (chains and kept nodes that would start from it), keeping
    it saves (u − 1) c. Nodes are chosen one by one, the greatest saving first, as long as there is one; only where
    chains part or end can a node be worth it. Without a limit no step is executed twice on the same beginning; with
    one, some other choice may save more.

    The payload is whatever the steps map to its like: clients (:class:`metrics.distances.weights.participant.Client`),
    activations or arrays. Kept payloads are computed depth first and dropped once their last user has started.

    Args:
        chains: name -> its steps, first step first; an empty chain is given the payload itself.
        max_sets: how many nodes to keep besides the payload, 0 or more: the memory there is, divided by
            :func:`size_bytes` of the payload. 0 runs every chain alone, None sets no limit.

    Attributes:
        steps_executed: how many steps the latest run has executed so far.

    Raises:
        ValueError: if ``max_sets`` is negative.
    """

    def __init__(self, chains: Mapping[str, Sequence[ChainStep[T]]], max_sets: int | None = None) -> None:
        if max_sets is not None and max_sets < 0:
            raise ValueError(f"max_sets must be 0 or more, or None, got {max_sets}")
        numbers: dict[ChainStep[T], int] = {}
        self._ends: dict[str, Node] = {
            name: tuple(numbers.setdefault(step, len(numbers)) for step in chain) for name, chain in chains.items()
        }
        self._steps = list(numbers)
        self._kept = self._chosen(max_sets)
        self._jobs = list(self._schedule(()))
        self.steps_executed = 0

    @property
    def sets_kept(self) -> int:
        """How many payloads are kept by a run, the given one included."""
        return len(self._kept)

    @property
    def kept(self) -> tuple[tuple[ChainStep[T], ...], ...]:
        """The kept nodes as the steps that lead to them, the payload itself (no steps) first."""
        return tuple(tuple(self._steps[number] for number in node) for node in self._kept)

    def run(self, payload: T) -> Iterator[tuple[str, T]]:
        """Yield every chain's name with what its steps make of the payload, in the order of the tree.

        A payload may be yielded to several names: it must not be changed. It is freed when the caller drops it, too.
        """
        self.steps_executed = 0
        sets: dict[Node, T] = {(): payload}
        del payload
        for job in self._jobs:
            if job.name is None:
                sets[job.target] = self._reached(sets, job)
            else:
                yield job.name, self._reached(sets, job)

    def _reached(self, sets: dict[Node, T], job: _Job) -> T:
        current = sets.pop(job.source) if job.last else sets[job.source]
        for number in job.target[len(job.source) :]:
            current = self._steps[number](current)
            self.steps_executed += 1
        return current

    def _chosen(self, max_sets: int | None) -> list[Node]:
        """Return the nodes to keep: the root, then the others in the order of choice."""
        through = Counter(node[:length] for node in self._ends.values() for length in range(1, len(node) + 1))
        inner = {node[:-1] for node, count in through.items() if len(node) > 1 and through[node[:-1]] == count}
        candidates = [node for node, count in through.items() if count > 1 and node not in inner]
        kept: list[Node] = [()]
        while candidates and (max_sets is None or len(kept) <= max_sets):
            best = max(candidates, key=lambda node: self._saving(node, kept))
            if self._saving(best, kept) <= 0:
                break
            candidates.remove(best)
            kept.append(best)
        return kept

    def _saving(self, node: Node, kept: Sequence[Node]) -> float:
        """Return the cost of the steps that no longer run if a node is kept beside the given ones."""
        above = _nearest(node, kept)
        chains = sum(_begins(end, node) and _nearest(end, kept) == above for end in self._ends.values())
        below = sum(_begins(other, node) and _nearest(other[:-1], kept) == above for other in kept)
        return (chains + below - 1) * sum(self._steps[number].cost for number in node[len(above) :])

    def _schedule(self, node: Node) -> Iterator[_Job]:
        """Yield what starts from a kept node, chains first, then what starts from kept nodes below it."""
        names = [name for name, end in self._ends.items() if _nearest(end, self._kept) == node]
        below = [other for other in self._kept if other and _nearest(other[:-1], self._kept) == node]
        for place, name in enumerate(names):
            yield _Job(node, self._ends[name], name, last=not below and place == len(names) - 1)
        for place, other in enumerate(below):
            yield _Job(node, other, None, last=place == len(below) - 1)
            yield from self._schedule(other)


def size_bytes(payload: Any) -> int:
    """Return the bytes of all arrays and tensors in nested data classes, mappings, lists and tuples.

    Views count in full, so it is an upper limit of what the payload occupies.
    """
    return sum(int(array.nbytes) for array in nested_arrays(payload))


def _begins(node: Node, beginning: Node) -> bool:
    return node[: len(beginning)] == beginning


def _nearest(node: Node, kept: Sequence[Node]) -> Node:
    """Return the deepest kept node on the way from the root to a node, itself included."""
    return max((other for other in kept if _begins(node, other)), key=len)
