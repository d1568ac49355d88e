"""A browser that looks at a service, for tests of the page's views: both are started once."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import uvicorn

from fedlayers.core.machine.cache_root import cache_root
from fedlayers.explore.app import application
from fedlayers.explore.place import Place
from fedlayers.explore.slow.beforehand import work_out
from fedlayers.explore.slow.kept import Kept
from fedlayers.opening.run import Run
from tests.support.browser import Pages
from tests.support.compared_runs import write_compared_runs
from tests.support.fake_run import write_run
from tests.support.figure_tables import Measured, write_measured_run
from tests.support.heterogeneity_page import settled

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

_WEB = Path(__file__).parents[2] / "web"
# A page with nothing but places for charts.
CHART_SITE = "http://charts.test"
CHART_PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>charts</title>
<link rel="stylesheet" href="/page.css"><link rel="stylesheet" href="/chart.css">
<style>body { color: var(--text); background: var(--page); } main { width: 700px; }</style>
<script type="importmap">{"imports": {"fedlayers/": "/js/"}}</script><script src="/vendor/echarts.min.js"></script>
</head><body><main><h1>Charts</h1><h2>Some</h2><div id="one"></div><div id="two"></div></main></body></html>"""
# Every name that a run can have stands in the page as text.
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study of made-up runs: one with layers and pairs, two seeds of another; names have markup in them."""
    folder = tmp_path_factory.mktemp("results") / "main"
    names = (
        ("client_names", [f"{MARKUP} {number}" for number in range(5)]),
        ("classes", [f"{MARKUP} {number}" for number in range(5)]),
    )
    for seed in (0, 1):
        write_run(folder, clients=5, seed=seed, algorithm="fedprox", overrides=names)
    write_measured_run(folder, Measured(clients=5, layers=4))
    return folder


class Service:
    """A service in a thread of this process.

    Attributes:
        address: where it answers.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._listening = socket.create_server(("127.0.0.1", port))
        self.port = self._listening.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/"
        app = application(Place.at(folder), leaving=lambda: self._server.should_exit)
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listening]}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and wait until it has ended."""
        self._server.should_exit = True
        self._thread.join(20)


@pytest.fixture(scope="session")
def served(study: Path) -> Iterator[str]:
    """Yield the address of a service of the study."""
    service = Service(study)
    yield service.address
    service.stop()


@pytest.fixture(scope="session")
def serve() -> Callable[..., Service]:
    """Return what serves a folder; who calls it stops it."""
    return Service


@pytest.fixture(scope="session")
def small_run(quick_run: Callable[..., Path]) -> Path:
    """Return a small run of real training that measured layers, clients, classes and what is between clients."""
    return quick_run(
        "rounds=3",
        "metrics=[evaluation,weights,classes,gradients,distances,clusters,similarity]",
        "similarity=[cka]",
        "snapshots.rounds=[all]",
        "snapshots.clients=true",
        "engine=local",
    )


@pytest.fixture
def pages(browser: "Browser") -> Iterator[Pages]:
    """Yield what opens pages; at the end there was no error and no request elsewhere."""
    found = Pages(browser)
    yield found
    found.close()


def _file_of_page(route: "Route") -> None:
    path = _WEB / urlsplit(route.request.url).path.lstrip("/")
    if path == _WEB:
        route.fulfill(body=CHART_PAGE, content_type="text/html")
    elif path.is_file():
        route.fulfill(path=path)
    else:
        route.fulfill(body="", content_type="text/css" if path.suffix == ".css" else "image/x-icon")


@pytest.fixture
def page(pages: Pages) -> "Page":
    """Return a page of two places for charts, with what draws them as ``F``."""
    page = pages.open(CHART_SITE, answer=_file_of_page)
    page.evaluate("""async () => {
        const names = ["chart", "numbers", "marks/lines", "marks/heat-map", "marks/scatter"];
        window.F = Object.assign({}, ...await Promise.all(names.map((name) => import(`fedlayers/${name}.js`))));
        window.one = document.getElementById("one");
        window.chosen = [];
    }""")
    return page


Opened = Callable[..., "Page"]


@pytest.fixture
def open_page(pages: Pages) -> Opened:
    """Return what opens an address in a window of its own.

    ``open_page(address, scheme="dark", width=1280, expected=("ERR_",))``: console messages with one of the expected
    texts are no error. It returns when the view that is selected has been drawn.
    """

    def opened(
        address: str, scheme: Any = "light", width: int = 1280, height: int = 900, expected: tuple[str, ...] = ()
    ) -> "Page":
        pages.expected += expected
        page = pages.open(address, scheme, (width, height))
        drawn(page)
        return page

    return opened


def drawn(page: "Page") -> None:
    """Wait until the view that is selected has been drawn."""
    page.wait_for_selector("#view > section:not([hidden]):not([aria-busy])")


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run whose clients and classes have names with markup, beside the one that it is compared with."""
    folder = write_compared_runs(tmp_path_factory.mktemp("results"))[0]
    facts = json.loads((folder / "run.json").read_text())
    facts["client_names"] = [f"{MARKUP} {number}" for number in range(facts["clients"])]
    facts["classes"] = [f"{MARKUP} {name}" for name in facts["classes"]]
    (folder / "run.json").write_text(json.dumps(facts))
    return Run(folder)


@pytest.fixture(scope="session")
def service(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a service of that run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLAYERS_CACHE", str(tmp_path_factory.mktemp("cache")))
        found = Service(run.folder.parent)
        # What is asked first is there already, as after python -m fedlayers.heterogeneity.
        work_out(run.folder.resolve(), Kept(cache_root() / "explore"), lambda *_: None)
    yield found.address
    found.stop()


@pytest.fixture
def look(open_page: "Opened", service: str, run: Run) -> Callable[..., "Page"]:
    """Return what opens the view with a selection, and waits until all of it is there."""

    def looked(selection: str = "client=1", **how: Any) -> "Page":
        page = open_page(f"{service}#view=heterogeneity&run={run.folder.name}&{selection}", **how)
        settled(page)
        return page

    return looked


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Return what waits until a function of no arguments says yes."""

    def waited(says: Callable[[], bool], seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not says():
            assert time.monotonic() < end, "it never came"
            time.sleep(0.05)

    return waited
