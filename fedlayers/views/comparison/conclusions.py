"""What ranks and tests say, in sentences."""

from collections.abc import Iterator

from fedlayers.views.comparison.compared import AlgorithmComparison
from fedlayers.views.comparison.formats import as_text, joined
from fedlayers.views.comparison.ranking import Ranking, pairs_table
from fedlayers.views.comparison.sheets import p_value, sheets

_LEVEL = 0.05
_LISTED = 8


def told(comparison: AlgorithmComparison) -> str:
    """Return a comparison as text: its tables, then what follows."""
    return joined([*map(as_text, sheets(comparison)), "\n".join(conclusions(comparison))])


def conclusions(comparison: AlgorithmComparison) -> Iterator[str]:
    """Yield what was chosen by validation, the ranks, Friedman's test and what follows it, and what was not used."""
    for (setting, algorithm), own in comparison.tried.groupby(["setting", "algorithm"], sort=True):
        chosen = own[own["chosen"]].iloc[0]
        others = ", ".join(str(tried).rpartition("=")[2] for tried in own["tried"])
        yield f"{algorithm} in {setting}: {chosen['tried']} has the lowest validation loss of {others}"
    for one in comparison.rankings:
        if one.metric == comparison.metric:
            yield from _of_ranking(one, comparison.baseline)
    yield from comparison.notes


def _of_ranking(one: Ranking, baseline: str) -> Iterator[str]:
    ranks = ", ".join(f"{name} {rank:.2f}" for name, rank in zip(one.algorithms, one.ranks, strict=True))
    yield f"mean rank by {one.metric} over {_blocks(one)}: {ranks}"
    test = one.test
    if not test.reason:
        told = f"Friedman's test of {test.algorithms} algorithms: χ² = {test.statistic:.2f}, {_p(test.p)}"
        if test.least_p > _LEVEL:
            yield f"{told}; so few blocks cannot give a p below {test.least_p:.2g}, whatever they show"
        elif test.p < _LEVEL:
            yield f"{told}: they differ, by Nemenyi's test where ranks are {one.critical_difference:.2f} apart"
            yield from _pairs(one, baseline)
        else:
            yield f"{told}: no difference is shown"
    absent, lacking = one.left_out
    if absent:
        yield f"not ranked, for it is not in every setting: {', '.join(absent)}"
    if lacking and one.blocks == "runs":  # which settings are left out stands in the notes
        yield f"{lacking} of {lacking + test.blocks} blocks lack a ranked algorithm and are left out of ranks"


def _pairs(one: Ranking, baseline: str) -> Iterator[str]:
    pairs = pairs_table([one], baseline)
    clear = pairs[pairs["p_nemenyi"] < _LEVEL]
    shown = [f"{row['algorithm']} above {row['other']} ({_p(row['p_nemenyi'])})" for row in clear.to_dict("records")]
    more = f" and {len(shown) - _LISTED} more in pairs.csv" if len(shown) > _LISTED else ""
    yield "Nemenyi, all pairs: " + (", ".join(shown[:_LISTED]) + more if shown else "none is clear by itself")
    held = pairs[pairs["p_holm"] < _LEVEL]
    names = [
        f"{row['other'] if row['algorithm'] == baseline else row['algorithm']} ({_p(row['p_holm'])})"
        for row in held.to_dict("records")
    ]
    if pairs["p_holm"].notna().any():
        yield f"Holm, against {baseline}: " + (", ".join(names) + " differ" if names else "none differs clearly")


def _p(value: float) -> str:
    told = p_value(value)
    return f"p {told}" if told.startswith("<") else f"p = {told}"


def _blocks(one: Ranking) -> str:
    settings = f"{one.settings} setting{'s' if one.settings > 1 else ''}"
    if one.blocks == "settings":
        return f"{settings} (median over the seeds that all of these have)"
    return f"{one.test.blocks} block{'s' if one.test.blocks > 1 else ''}, the seeds of {settings}"
