"""Of a run with a damaged table each part says what is wrong, and what other tables hold is drawn."""

from pathlib import Path
from typing import Any

import pytest

from tests.explorer.conftest import drawn
from tests.support.fake_run import write_run

pytestmark = pytest.mark.slow

TOLD = "round=000002.parquet cannot be read"
# Headings below which nothing is seen up to the next one.
BARE = """(view) => [...document.querySelectorAll(`${view} h2`)].filter((head) => {
    let height = 0;
    for (let next = head.nextElementSibling; next && next.tagName !== "H2"; next = next.nextElementSibling)
        height += next.getBoundingClientRect().height;
    return head.offsetHeight && !height;
}).map((head) => head.textContent)"""


def test_what_a_damaged_table_lacks_is_told_and_other_tables_are_shown(
    open_page: Any, serve: Any, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "main", clients=3)
    # Its folder may have another name than it began with.
    run = run.rename(run.parent / "moved")
    (run / "records" / "round=000002.parquet").write_bytes(b"broken")
    service = serve(run.parent)
    page = open_page(f"{service.address}#view=rounds")
    assert TOLD in page.inner_text("#view-rounds > .told")
    assert page.evaluate(BARE, "#view-rounds") == []
    assert TOLD in page.inner_text("#view-rounds h2 + .charts")
    (title,) = page.locator("#view-rounds .chart-title:visible").all_inner_texts()
    assert title.endswith("(s) over rounds")
    page.evaluate("location.hash = 'view=table'")
    page.wait_for_selector("#view-table > .told")
    drawn(page)
    assert TOLD in page.inner_text("#view-table > .told") and not page.is_visible("#view-table .python")
    page.select_option("#view-table .controls select >> nth=0", "resources")
    page.wait_for_selector("#view-table .python:visible")
    drawn(page)
    assert page.locator("#view-table tbody tr").count() > 0 and not page.is_visible("#view-table > .told")
    page.close()
    service.stop()
