"""How long the explorer's view Heterogeneity takes from a selection to the last chart, with 6,000 records.

The records are made up and handed to the page in place of the service's answers; the browser is Debian's ``chromium``,
the screen 1280 × 900 pixels. Told are medians of 10 selections until the charts in sight are drawn: by the clock, and
how long the page's thread computed, which is what the clock says where the machine has nothing else to do; and the
latter until all charts are drawn. Ends with an error if the page computes for more than 100 ms before the selection is
seen.
"""

import contextlib
import io
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from playwright.sync_api import CDPSession, Page, Route, sync_playwright

from fedlayers.charts.charted import Charted
from tests.explorer.conftest import Service
from tests.support.fake_run import write_run

RECORDS, CLASSES, SIDE, ROUNDS, CLUSTERS, LIMIT_MS = 6000, 10, 28, 20, 8, 100
# Selects something and waits until what is in sight has been drawn and painted, then until all that follows has.
SELECT = """async (records) => {
    const { set } = await moduleOf("fedlayers/address.js");
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
    await frame();
    const began = performance.now();
    set({ records });
    await frame();
    return performance.now() - began;
}"""
REST = """async () => {
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
    do await frame(); while (document.querySelector("#view-heterogeneity[aria-busy], #view-heterogeneity [aria-busy]"));
}"""


def answers() -> dict[str, bytes]:
    """Return what the service would say of a client with so many records, by the ends of addresses."""
    random = np.random.default_rng(0)
    truth = random.integers(0, CLASSES, RECORDS)
    federated = np.where(random.random(RECORDS) < 0.8, truth, random.integers(0, CLASSES, RECORDS))
    local = np.where(random.random(RECORDS) < 0.9, federated, truth)
    odd = np.flatnonzero(local != federated)
    rounds = np.arange(1, ROUNDS + 1)
    facts = {
        "round": ROUNDS, "classes": [f"class {label}" for label in range(CLASSES)], "kind": "image", "names": [],
        "shape": [1, SIDE, SIDE], "alpha": 1.0, "p": 0.01, "reason": "", "layer": "conv2",
        "local_accuracy": 0.9, "null": None,
        "sentences": {"0": "", "1": "", "2": ""}, "explained": [0.9, 0.1], "sampled": 1000,
    }  # fmt: skip
    shares = random.random(ROUNDS)
    likely = random.random(RECORDS)
    tables: dict[str, dict[str, Any]] = {
        "shifts": {
            "client": np.zeros(1), "kind": ["label"], "effect": np.ones(1), "adjusted": np.ones(1),
            "n": np.full(1, RECORDS),
        },
        "parameters": {
            "round": rounds, "owner": ["server"] * ROUNDS, "x": shares, "y": shares, "distance": shares,
            "cosine": shares,
        },
        "rounds/rounds": {"round": rounds, "disagreement": shares, "divergence": shares, "accuracy": shares},
        "outputs": {
            "example": np.arange(RECORDS), "scope": ["client_train"] * RECORDS, "truth": truth, "local": local,
            "federated": federated, "consistent": local == federated, "divergence": likely, "local_confidence": likely,
            "federated_confidence": likely,
        },
        "contrast/scores": {"c1": random.standard_normal(RECORDS) + truth, "c2": random.standard_normal(RECORDS)},
        "contrast/loadings": {"c1": random.standard_normal(SIDE**2), "c2": random.standard_normal(SIDE**2)},
        "clusters/records": {"example": odd, "cluster": random.integers(0, CLUSTERS, len(odd))},
        "clusters/clusters": {name: np.arange(CLUSTERS) for name in ("cluster", "size", "accuracy", "stability")},
    }  # fmt: skip
    found = {end: Charted(columns, facts).stream() for end, columns in tables.items()}
    found["features"] = Charted({"value": random.integers(0, 256, RECORDS)}, facts).stream()
    found["rounds/records"] = _rows({"federated": np.tile(federated, (ROUNDS, 1))}, facts)
    found["examples"] = _rows({"features": random.integers(0, 256, (1, SIDE**2))}, facts)
    found["maps"] = _rows({name: random.random((1, SIDE**2)) for name in ("local", "federated", "difference")}, facts)
    return found


def _rows(columns: dict[str, np.ndarray], facts: dict[str, Any]) -> bytes:
    lists = {
        name: pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), pa.float32()), values.shape[1])
        for name, values in columns.items()
    }
    table, sink = pa.table(lists).replace_schema_metadata({b"facts": json.dumps(facts).encode()}), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Page]:
    """Yield the page that looks at a client of a made-up run."""
    run = write_run(folder)
    # The page asks what it draws of runs only that have kept a model.
    (run / "snapshots").mkdir(exist_ok=True)
    (run / "snapshots" / f"server@{ROUNDS}.safetensors").touch()
    service, told = Service(folder), answers()

    def answer(route: Route) -> None:
        path = route.request.url.split("?")[0]
        body = next((body for end, body in told.items() if path.endswith(end) or f"/{end}/" in path), None)
        if body is None:
            route.continue_()
        else:
            route.fulfill(body=body, content_type="application/vnd.apache.arrow.stream")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("pageerror", lambda error: print(f"the page: {error}", file=sys.stderr))
        page.route("**/api/runs/*/**", answer)
        page.goto(f"{service.address}#view=heterogeneity&run={run.name}&client=0")
        page.wait_for_selector("#heterogeneity-annotations .notes:not(:empty)")
        page.wait_for_selector("#view-heterogeneity:not(:has([aria-busy])):not([aria-busy])")
        yield page
        browser.close()
    service.stop()


def selected(page: Page, meter: CDPSession, records: str) -> tuple[float, float, float]:
    """Return what a selection takes in ms: by the clock and computing until it is seen, and computing for all of it."""
    before = _computed_s(meter)
    by_clock: float = page.evaluate(SELECT, records)
    seen = _computed_s(meter)
    page.evaluate(REST)
    return by_clock, 1000 * (seen - before), 1000 * (_computed_s(meter) - before)


def _computed_s(meter: CDPSession) -> float:
    measured = meter.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in measured if one["name"] == "TaskDuration")


def main() -> int:
    """Select clusters, cells and values by turns, and tell how long each takes."""
    kinds = ["cluster:{}", "cell:{0}:{0}", "range:40:0:{0}0", "list:{},77,99", "inconsistent"]
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as page:
        for kind in kinds:  # The first time of each kind asks.
            page.evaluate(SELECT, kind.format(0))
            page.evaluate(REST)
        meter = page.context.new_cdp_session(page)
        meter.send("Performance.enable", {"timeDomain": "threadTicks"})
        slowest = 0.0
        for place in ("overview", "distribution"):
            page.locator(f"#heterogeneity-{place}").scroll_into_view_if_needed()
            for kind in kinds[:-1]:
                measured = [selected(page, meter, kind.format(1 + number % 5)) for number in range(10)]
                by_clock, seen, whole = (statistics.median(times) for times in zip(*measured, strict=True))
                slowest = max(slowest, seen)
                told = f"by the clock {by_clock:6.1f} ms, computing {seen:6.1f} ms, for all charts {whole:6.1f} ms"
                print(f"{place:12} {kind.split(':')[0]:8} {told}")
    print(f"limit: {LIMIT_MS} ms")
    return int(slowest > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
