"""What a comparison lacks: algorithms, seeds, clients' values."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from fedlayers.views.comparison.arranging import ComparedRun

_LISTED = 6


def lacks(runs: Sequence[ComparedRun], scores: pd.DataFrame, metric: str, scope: str, baseline: str) -> Iterator[str]:
    """Yield a sentence for all that some runs lack, or that so few cannot say.

    Args:
        runs: those that are to be compared.
        scores: what they reached.
        metric: the metric that is shown.
        scope: of the scores.
        baseline: the algorithm that differences are from.
    """
    if scope.endswith("_val"):
        yield "no run has test examples of its clients (split.test): validation scores are compared"
    shown = scores[scores["metric"] == metric]
    there = {*shown["run"]}
    without = [run.run for run in runs if run.run not in there]
    if without:
        yield f"no clients' {metric} in {listed(without)}: left out"
    known = [run for run in runs if run.run in there]
    seeds: dict[str, dict[str, set[int]]] = {}
    for run in known:
        seeds.setdefault(run.setting, {}).setdefault(run.algorithm, set()).add(run.seed)
    for setting, of_algorithms in seeds.items():
        where = f" in {setting}" if len(seeds) > 1 else ""
        if len(of_algorithms) == 1:
            yield f"one algorithm{where}, {next(iter(of_algorithms))}: there is nothing to compare it with"
        elif baseline not in of_algorithms:
            yield f"no {baseline}{where}: there are no differences from it"
        yield from _of_seeds(of_algorithms, where)
    yield from _of_common_seeds(seeds)
    yield from _of_clients(shown)
    for name, own in shown.groupby("setting", sort=False):
        if what := unlike(own):
            where = f" in {name}" if len(seeds) > 1 else ""
            yield f"no best mean is marked{where}, for means of different {what} are not alike"


def _of_seeds(seeds: dict[str, set[int]], where: str) -> Iterator[str]:
    """Yield what the numbers of seeds of algorithms in one setting forbid."""
    every = set.union(*seeds.values())
    if len(every) == 1:
        yield f"one seed, {next(iter(every))}{where}: without a second one there are no intervals and no tests"
    for name, own in sorted(seeds.items()):
        if own != every:
            lacking = ", ".join(map(str, sorted(every - own)))
            why = "differences are of the seeds that both have, ranks of those that all ranked ones have"
            yield f"{name} lacks seed {lacking}{where}: {why}"


def _of_common_seeds(seeds: Mapping[str, Mapping[str, set[int]]]) -> Iterator[str]:
    """Yield in which settings the algorithms that are ranked, those in every setting, have no seed in common."""
    ranked = set.intersection(*({*own} for own in seeds.values())) if seeds else set()
    for setting, of_algorithms in seeds.items():
        if len(ranked) > 1 and not set.intersection(*(of_algorithms[name] for name in ranked)):
            yield f"no seed that {', '.join(sorted(ranked))} all have in {setting}: it is left out of ranks"


def no_ranks(scores: pd.DataFrame) -> str:
    """Return why algorithms have no ranks: those are of two or more that are in every setting, by the same seeds.

    Args:
        scores: of one metric, columns ``setting, algorithm, seed, client``.

    Example:
        >>> no_ranks(pd.DataFrame({"setting": ["A", "A", "B"], "algorithm": ["fedavg", "local", "local"]}))
        'B lacks fedavg: ranks need two algorithms that were run in every setting'
    """
    names = sorted(map(str, scores["algorithm"].unique()))
    if len(names) < 2:
        return f"{' '.join(names) or 'no algorithm'} has nothing to be ranked with: ranks need two algorithms"
    own = scores.groupby("setting", sort=True)["algorithm"].unique()
    absent = {setting: [name for name in names if name not in there] for setting, there in own.items()}
    if len({name for lacking in absent.values() for name in lacking}) > len(names) - 2:
        told = [f"{setting} lacks {', '.join(lacking)}" for setting, lacking in absent.items() if lacking]
        more = f" and {len(told) - _LISTED} more" if len(told) > _LISTED else ""
        return f"{'; '.join(told[:_LISTED])}{more}: ranks need two algorithms that were run in every setting"
    ranked = [name for name in names if all(name in there for there in own)]
    return f"no seed has values of the same clients under {', '.join(ranked)}: ranks need what all of them have"


def unlike(scores: pd.DataFrame) -> str:
    """Return in what the values of algorithms differ: ``seeds``, else ``clients``, else nothing.

    Args:
        scores: of one metric in one setting, columns ``algorithm, seed, client``.
    """
    for what, keys in (("seeds", ["seed"]), ("clients", ["seed", "client"])):
        every = scores[keys].drop_duplicates()
        own = scores[["algorithm", *keys]].drop_duplicates()
        if len(own) < len(every) * scores["algorithm"].nunique():
            return what
    return ""


def _of_clients(shown: pd.DataFrame) -> Iterator[str]:
    """Yield which algorithms lack values of clients that others have."""
    for (setting, algorithm), own in shown.groupby(["setting", "algorithm"], sort=True):
        clients = shown.loc[shown["setting"] == setting, "client"].nunique()
        lost = clients * own["run"].nunique() - len(own)
        if lost:
            every = lost + len(own)
            yield f"{algorithm} in {setting} lacks {lost} of {every} clients' values: its means are of the others"


def listed(folders: Sequence[str]) -> str:
    """Return the names of run folders in one phrase, the first few of many."""
    more = len(folders) - _LISTED
    return ", ".join(Path(folder).name for folder in folders[:_LISTED]) + (f" and {more} more" if more > 0 else "")
