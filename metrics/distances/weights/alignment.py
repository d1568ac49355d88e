"""Alignment of units: which unit of one network does the work of which unit of another, by their weights."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from metrics.distances.weights.participant import LayerWeights, Model
from metrics.distances.weights.unit_chain import has_units, reordered_by, unit_rows

COSTS = ("l2", "l1", "pearson", "spearman", "gradient")
_SORTABLE = ("l2", "l1", "pearson")


@dataclass(frozen=True, eq=False)
class UnitMatch:
    """Which units of one layer were matched.

    Attributes:
        layer: the layer's name.
        order: for every unit of the reference the other network's unit that takes its place, shape (units,).
        cost: the matched pairs' costs, added up; its unit and range are those of the cost times units.
    """

    layer: str
    order: np.ndarray
    cost: float

    @property
    def moved(self) -> int:
        """How many units are not where they were."""
        return int((self.order != np.arange(len(self.order))).sum())


def unit_costs(reference: np.ndarray, other: np.ndarray, cost: str = "l2", sort: bool = False) -> np.ndarray:
    """Return what it costs to match every unit of one layer with every unit of another, shape (n, m), float64.

    With x and y the rows of two units:

    - l2: ‖x − y‖₂², in squared weights: its sum over matched units is the layers' squared Euclidean distance.
    - l1: Σ|x − y|, in weights.
    - pearson: 1 − r, in [0, 2], r the correlation of x and y; r is 0 where x or y is constant.
    - spearman: 1 − r of the ranks (mean ranks for ties).
    - gradient: the share of entries with x · y < 0, in [0, 1]; rows are gradients, not weights.

    Args:
        reference: rows of the reference's units, shape (n, d), d ≥ 1, finite.
        other: rows of the other layer's units, shape (m, d), finite.
        cost: one of ``COSTS``.
        sort: compare the sorted rows, which do not depend on the order of the inputs. Not with ``spearman``, for which
            all sorted rows are alike, and not with ``gradient``.

    Raises:
        ValueError: if the cost is unknown or does not go with ``sort``, or the rows are not comparable or not finite.

    Examples:
        >>> import numpy as np
        >>> rows = np.array([[0.0, 1.0], [2.0, 0.0]])
        >>> unit_costs(rows, rows[::-1], "l2", False).round(3).tolist()
        [[5.0, 0.0], [0.0, 5.0]]
    """
    check_cost(cost, sort)
    if reference.ndim != 2 or other.ndim != 2 or reference.shape[1] != other.shape[1] or not reference.shape[1]:
        raise ValueError(f"units must have rows of equal length, got shapes {reference.shape} and {other.shape}")
    x, y = reference.astype(np.float64), other.astype(np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("units with weights that are not finite cannot be matched")
    if sort:
        x, y = np.sort(x, 1), np.sort(y, 1)
    if cost == "gradient":
        opposite = (x > 0).astype(np.float64) @ (y < 0).T + (x < 0).astype(np.float64) @ (y > 0).T
        return np.asarray(opposite / x.shape[1])
    if cost in ("l1", "l2"):
        return np.asarray(cdist(x, y, "cityblock" if cost == "l1" else "sqeuclidean"))
    if cost == "spearman":
        # Here, because it takes 0.3 s to import.
        from scipy.stats import rankdata

        x, y = rankdata(x, axis=1), rankdata(y, axis=1)
    distances: np.ndarray = np.clip(1 - _standardised(x) @ _standardised(y).T, 0, 2)
    return distances


def check_cost(cost: str, sort: bool) -> None:
    """Refuse a cost that is unknown or has no meaning for sorted weights.

    Raises:
        ValueError: saying what is allowed.
    """
    if cost not in COSTS:
        raise ValueError(f"the cost of a match must be one of {', '.join(COSTS)}, got {cost!r}")
    if sort and cost not in _SORTABLE:
        raise ValueError(f"sorted weights can be compared by {', '.join(_SORTABLE)} only, got {cost!r}")


def assign_units(costs: np.ndarray) -> np.ndarray:
    """Return the one-to-one match with the least total cost: for every row its column, shape (n,).

    Every unit keeps its place if that costs no more, up to rounding.

    Args:
        costs: finite, shape (n, n).

    References:
        Kuhn 1955, The Hungarian method for the assignment problem, doi:10.1002/nav.3800020109; Ainsworth, Hayase &
        Srinivasa 2023, Git Re-Basin, arXiv 2209.04836, for its use on units.

    Examples:
        >>> import numpy as np
        >>> assign_units(np.array([[5.0, 1.0], [1.0, 5.0]])).tolist()
        [1, 0]
    """
    order: np.ndarray = linear_sum_assignment(costs)[1]
    places = np.arange(len(costs))
    rounding = 4 * len(costs) * np.finfo(np.float64).eps * np.abs(costs).max(initial=0.0)
    return places if np.trace(costs) - costs[places, order].sum() <= rounding else order


def align_model(
    reference: Model, model: Model, cost: str = "l2", sort: bool = False
) -> tuple[Model, tuple[UnitMatch, ...]]:
    """Return a network with its units in the order in which they match a reference's, and the match of every layer.

    A unit is its bias and its row of weights; a layer's inputs stand in the order that was found for the layer before.
    Each layer's match is thus the best one given the layers before it, not the best of all together. Normalisations
    follow the layer before them and take no part in the match. The last layer's units are the network's outputs
    (classes) and stay. The aligned network computes what the network computes.

    Args:
        reference: the network whose order of units is the goal.
        model: a network with the same layers: a chain, see :func:`metrics.distances.weights.unit_chain.reordered_by`.
        cost: see :func:`unit_costs`. With ``"gradient"`` both networks' arrays are gradients.
        sort: whether to compare sorted rows.

    Raises:
        ValueError: if the two differ in layers or shapes, are no chains, or have weights that are not finite.
    """
    _check_alike(reference, model)
    goals = {layer.name: unit_rows(layer) for layer in reference if has_units(layer)}
    matches: list[UnitMatch] = []

    def choose(layer: LayerWeights) -> np.ndarray | None:
        costs = unit_costs(goals[layer.name], unit_rows(layer), cost, sort)
        places = np.arange(len(costs))
        order = places if len(matches) == len(goals) - 1 else assign_units(costs)
        matches.append(UnitMatch(layer.name, order, float(costs[places, order].sum())))
        return order if matches[-1].moved else None

    return reordered_by(model, choose), tuple(matches)


def _check_alike(reference: Model, model: Model) -> None:
    ours, theirs = ([(layer.name, layer.shapes()) for layer in each] for each in (reference, model))
    if ours != theirs:
        raise ValueError(f"only networks with equal layers can be aligned, got {ours} and {theirs}")


def _standardised(rows: np.ndarray) -> np.ndarray:
    """Return rows with mean 0 and norm 1; constant rows become 0."""
    # The mean of equal numbers need not be exactly that number.
    constant = np.ptp(rows, axis=1, keepdims=True) == 0
    centred = np.where(constant, 0.0, rows - rows.mean(1, keepdims=True))
    norms = np.sqrt(np.square(centred).sum(1, keepdims=True))
    rows_of_one: np.ndarray = np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 0)
    return rows_of_one
