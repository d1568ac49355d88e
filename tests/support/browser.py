"""Pages in the machine's Chromium: opened, watched for errors and requests to elsewhere, checked for accessibility."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Route

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# What of axe's findings is a fault: https://github.com/dequelabs/axe-core, impact.
_SERIOUS = ("serious", "critical")


@contextmanager
def started_browser() -> Iterator["Browser"]:
    """Start the machine's Chromium; where there is none, the test is skipped, in CI it fails."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        program = None
    if program is None:
        need = "pages are tried out with chromium (Debian: apt-get install chromium) and playwright (pip)"
        (pytest.fail if "FEDLAYERS_CI" in os.environ else pytest.skip)(need)
    with sync_playwright() as playwright:
        # Root has no sandbox.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Pages:
    """Opens pages and notes what they complain about and ask of elsewhere.

    Attributes:
        browser: opens them.
        faults: what no page may say or do.
        expected: texts in messages that a test provokes.
    """

    browser: "Browser"
    faults: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()
    _contexts: "list[BrowserContext]" = field(default_factory=list)

    def open(
        self,
        address: str,
        scheme: Literal["dark", "light"] = "light",
        size: tuple[int, int] = (1280, 900),
        offline: bool = False,
        answer: "Callable[[Route], None] | None" = None,
    ) -> "Page":
        """Open an address and return the page; ``answer`` stands in for a service at that address."""
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, offline=offline
        )
        context.set_default_timeout(30_000)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self.faults.append(message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        own = urlsplit(address)
        page.on("request", lambda request: self._look(request.url, own.scheme, own.netloc))
        if answer is not None:
            context.route(f"{address}/**", answer)
        page.goto(address)
        return page

    def _look(self, asked: str, scheme: str, netloc: str) -> None:
        to = urlsplit(asked)
        if to.scheme not in ("data", "blob") and (to.scheme, to.netloc) != (scheme, netloc):
            self.faults.append(f"a request to elsewhere: {asked}")

    def close(self) -> None:
        """Close all pages; there must have been no fault."""
        for context in self._contexts:
            context.close()
        faults = [one for one in self.faults if not any(text in one for text in self.expected)]
        assert faults == [], faults


def accessibility_faults(page: "Page") -> list[str]:
    """Return what axe-core finds serious or critical on a page, a line for each place."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {', '.join(map(str, node['target']))} ({one['help']})"
        for one in found
        if one["impact"] in _SERIOUS
        for node in one["nodes"]
    ]
