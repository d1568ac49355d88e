"""Which pairs of representations are worth comparing in one product."""

from collections import defaultdict
from collections.abc import Sequence

from metrics.compare.base import Pairs

# Below so many multiplications the product of all items is as good as any.
_TOGETHER = 2**35


def pair_groups(pairs: Pairs, rows: int) -> list[list[int]]:
    """Return the places of pairs, parted so that a product of all items of a group is mostly of pairs asked for.

    Clients × layers are compared along both: 10 clients of 41 layers have 410 items with 84,000 products, of which
    10,000 are wanted, all within one of 41 sets of clients or of 10 sets of layers. A set is what two items of a pair
    are both compared with. Pairs that are in no set (a client's layer and the same of a former round) join one that
    has their first item, or their second.

    Args:
        pairs: places of items; of a few items all pairs are one group.
        rows: N of the items' N × N matrices.

    Returns:
        Every place in ``pairs`` once, ascending within a group.

    Examples:
        >>> pair_groups([(0, 1), (2, 3)], rows=10)
        [[0, 1]]
    """
    beside: dict[int, set[int]] = defaultdict(set)
    for a, b in pairs:
        beside[a].add(b)
        beside[b].add(a)
    if (len(beside) * rows) ** 2 <= _TOGETHER:
        return [list(range(len(pairs)))]
    groups: list[list[int]] = []
    group_of: dict[tuple[int, int], int] = {}
    home: dict[int, int] = {}
    alone: list[int] = []
    for place, (a, b) in enumerate(pairs):
        common = beside[a] & beside[b]
        if (a, b) not in group_of and not common:
            alone.append(place)
            continue
        if (a, b) not in group_of:
            _claim({a, b} | common, beside, group_of, len(groups))
            groups.append([])
        groups[group_of[a, b]].append(place)
        home.setdefault(a, group_of[a, b])
        home.setdefault(b, group_of[a, b])
    _join(pairs, alone, home, groups)
    return [sorted(group) for group in groups]


def _claim(members: set[int], beside: dict[int, set[int]], group_of: dict[tuple[int, int], int], group: int) -> None:
    """Note the group of all pairs among its members, in both directions, that have none yet."""
    for item in members:
        for other in beside[item] & members:
            group_of.setdefault((item, other), group)


def _join(pairs: Pairs, alone: Sequence[int], home: dict[int, int], groups: list[list[int]]) -> None:
    """Add pairs to a group that has one of their items, or to new ones."""
    for place in alone:
        a, b = pairs[place]
        group = home.get(a, home.get(b, len(groups)))
        if group == len(groups):
            groups.append([])
        groups[group].append(place)
        home.setdefault(a, group)
        home.setdefault(b, group)
