"""What is read beforehand gives way to whoever asks."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fedlayers.explore.calm import Attended, Calm

_LONG_S = 30.0


def waiting(calm: Calm) -> tuple[threading.Thread, list[bool]]:
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(calm.wait()))
    thread.start()
    return thread, found


def test_it_is_calm_when_nobody_has_asked_for_a_while() -> None:
    assert Calm().wait()
    begun = time.monotonic()
    assert Calm(quiet_s=0.2).wait() and time.monotonic() - begun >= 0.2


def test_work_waits_for_whoever_is_answered_and_then_for_the_quiet_time() -> None:
    calm = Calm(quiet_s=0.1)
    with calm.asking():
        with calm.asking():
            thread, found = waiting(calm)
        thread.join(0.3)
        assert not found, "another one is answered still"
        ended = time.monotonic()
    thread.join(_LONG_S)
    assert found == [True] and time.monotonic() - ended >= 0.1


def test_work_does_not_wait_for_ever_where_somebody_always_asks() -> None:
    calm = Calm(longest_s=0.1)
    with calm.asking():
        assert calm.wait()


def test_nobody_waits_for_a_service_that_ends_and_nothing_more_is_begun() -> None:
    calm, done = Calm(longest_s=_LONG_S), list[str]()
    with calm.asking():
        thread, found = waiting(calm)
        calm.later([lambda: done.append("read")])
        calm.end()
        calm.finish()
        thread.join(_LONG_S)
    assert found == [False] and not done


def test_pieces_of_work_are_done_in_order_each_when_it_is_calm() -> None:
    calm, done = Calm(longest_s=_LONG_S), list[str]()
    ask, ended = threading.Event(), threading.Event()

    def answered() -> None:
        with calm.asking():
            ask.set()
            ended.wait(_LONG_S)
            done.append("answer")

    def first() -> None:
        done.append("first")
        threading.Thread(target=answered).start()
        ask.wait(_LONG_S)

    calm.later([first, lambda: done.append("second")])
    ask.wait(_LONG_S)
    ended.set()
    calm.finish()
    assert done == ["first", "answer", "second"]


def test_a_request_is_noted_until_it_is_answered_and_the_stream_of_events_is_not() -> None:
    calm = Calm()
    seen: dict[str, bool] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        thread, found = waiting(calm)
        await asyncio.to_thread(thread.join, 0.2 if scope.get("path") == "/api/runs" else _LONG_S)
        seen[scope.get("path", scope["type"])] = not found
        calm.end() if not found else None

    scopes: list[dict[str, str]] = [{"type": "http", "path": path} for path in ("/api/events", "/api/runs")]
    # In a thread of its own: a browser that other tests have opened leaves a loop in this one.
    with ThreadPoolExecutor(1) as pool:
        for scope in [*scopes, {"type": "lifespan"}]:
            pool.submit(asyncio.run, Attended(app, calm)(scope, None, None)).result()  # type: ignore[arg-type]
    assert seen == {"/api/events": False, "/api/runs": True, "lifespan": False}
