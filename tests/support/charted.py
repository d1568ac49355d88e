"""What a chart of the page draws, read back from the browser."""

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from playwright.sync_api import Page


def charted(page: "Page", place: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return what is drawn in a place, a selector: its columns (absent numbers None) and facts."""
    columns, facts = page.evaluate(
        """(place) => {
            const { columns, facts } = document.querySelector(place).charted;
            const plain = (column) => [...column].map((value) => Number.isNaN(value) ? null : value);
            return [Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, plain(column)])), facts];
        }""",
        place,
    )
    return pd.DataFrame(columns), facts
