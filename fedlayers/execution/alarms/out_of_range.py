"""Values beyond the limits that a quantity states: either the limits or the values are wrong, and figures end there."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from fedlayers.core.quantities import Facts, Quantities

# What rounding may do to a value at its limit, by the size of the limit.
_ROUNDING = 1e-5


def out_of_range(tables: Mapping[str, Sequence[pa.Table]], quantities: Quantities) -> dict[str, str]:
    """Return metric -> a sentence, of the quantities that have a value below their ``low`` or above their ``high``.

    Args:
        tables: table name -> pieces of it, in the schema of its rows; single values and those of pairs are looked at.
        quantities: what is stated of them.
    """
    found: dict[str, str] = {}
    for piece in (*tables.get("records", ()), *tables.get("pairs", ())):
        for metrics, values in _chunks(piece):
            stated = [quantities[name] for name in metrics.dictionary.to_pylist()]
            lows, highs = (np.array(ends) for ends in _ends(stated))
            codes = np.asarray(metrics.indices)
            outside = np.isfinite(values) & ((values < lows[codes]) | (values > highs[codes]))
            for place in np.flatnonzero(outside):
                facts = stated[codes[place]]
                found.setdefault(facts.name, _told(facts, float(values[place])))
    return found


def _chunks(piece: pa.Table) -> Iterable[tuple[pa.DictionaryArray, np.ndarray]]:
    """Return the columns ``metric`` and ``value`` of a table, by chunk."""
    for batch in piece.to_batches():
        yield batch.column("metric"), batch.column("value").to_numpy(zero_copy_only=False)


def _ends(stated: Sequence[Facts]) -> tuple[list[float], list[float]]:
    """Return the lowest and the highest values that rounding may leave."""
    lows, highs = [facts.low for facts in stated], [facts.high for facts in stated]
    slack = [[_ROUNDING * max(1.0, abs(end)) for end in ends] for ends in (lows, highs)]
    return [a - b for a, b in zip(lows, slack[0], strict=True)], [a + b for a, b in zip(highs, slack[1], strict=True)]


def _told(facts: Facts, value: float) -> str:
    end = "low" if value < facts.low else "high"
    return (
        f"{facts.name}: {value:g} lies outside the limits that its facts state, {facts.low:g} to {facts.high:g}, where "
        f"figures and intervals end; the value is kept; correct {end} of its facts, or the metric"
    )
