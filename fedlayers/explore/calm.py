"""Whether somebody waits for an answer: what is worked out beforehand gives way to that."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedlayers.explore.guard import App, Receive, Scope, Send

# Its answer has no end.
_EVENTS = "/api/events"


class Calm:
    """Knows who is being answered, and lets others wait until nobody has been for a while.

    Args:
        quiet_s: how many seconds nobody may have asked: a page draws what it has got, on the same processors.
        longest_s: after so many seconds of waiting it is calm enough.
    """

    def __init__(self, quiet_s: float = 0.0, longest_s: float = 20.0) -> None:
        self._quiet_s, self._longest_s = quiet_s, longest_s
        self._changed = threading.Condition()
        self._asking, self._last = 0, time.monotonic()
        self._ended = False
        self._begun: list[threading.Thread] = []

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Note that somebody is answered, as long as a block of code runs."""
        with self._changed:
            self._asking += 1
        try:
            yield
        finally:
            with self._changed:
                self._asking, self._last = self._asking - 1, time.monotonic()
                self._changed.notify_all()

    def wait(self) -> bool:
        """Wait until it is calm; return whether it is, and not the service that ends."""
        latest = time.monotonic() + self._longest_s
        with self._changed:
            while not self._ended:
                now = time.monotonic()
                left = self._longest_s if self._asking else self._last + self._quiet_s - now
                if min(left, latest - now) <= 0:
                    break
                self._changed.wait(min(left, latest - now))
            return not self._ended

    def later(self, pieces: Sequence[Callable[[], None]]) -> None:
        """Do pieces of work one after another, in a thread of their own, each when it is calm."""

        def worked() -> None:
            for piece in pieces:
                if not self.wait():
                    return
                piece()

        with self._changed:
            self._begun.append(threading.Thread(target=worked, daemon=True))
            self._begun[-1].start()

    def finish(self) -> None:
        """Wait for the work that has begun."""
        with self._changed:
            begun, self._begun = self._begun, []
        for one in begun:
            one.join()

    def end(self) -> None:
        """Let nobody wait any longer: the service ends."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class Attended:
    """Passes on to an application what is asked, and lets it be known how long that takes.

    Args:
        app: the application.
        calm: is told of it.
    """

    def __init__(self, app: "App", calm: Calm) -> None:
        self._app, self._calm = app, calm

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer."""
        if scope["type"] != "http" or scope["path"] == _EVENTS:
            return await self._app(scope, receive, send)
        with self._calm.asking():
            await self._app(scope, receive, send)
