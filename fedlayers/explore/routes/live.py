"""What happens now: server-sent events whenever a run has gone on."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from fedlayers.core.errors import UserError
from fedlayers.core.json_values import plain
from fedlayers.explore.service import Served, Service
from fedlayers.runs.reading.run_facts import run_facts

router = APIRouter(tags=["live"])

# An end is noticed soon, changes once a second.
_STEP_S, _LOOK, _SIGN_OF_LIFE = 0.2, 5, 15
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Events, without an end."}
}


@router.get("/events", response_class=StreamingResponse, responses=_STREAM)
async def events(service: Served, request: Request) -> StreamingResponse:
    """Send an event ``run`` per run at once and whenever it changes (JSON: run, status, round, rounds, changed),
    ``gone`` if its folder has gone; ``alive`` tells every 15 seconds that the service lives.
    """  # noqa: D205
    return StreamingResponse(
        _changes(service, request), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


async def _changes(service: Service, request: Request) -> AsyncIterator[str]:
    seen: dict[str, int] = {}
    quiet = 0
    while not (service.leaving() or await request.is_disconnected()):
        now = await run_in_threadpool(service.watcher.state)
        for name in [name for name in now if seen.get(name) != now[name]]:
            told = await run_in_threadpool(_told, service, name)
            # Text: a browser's numbers do not hold nanoseconds.
            yield _event("run", told | {"changed": str(now[name])})
        for name in seen.keys() - now.keys():
            yield _event("gone", {"run": name})
        quiet = quiet + 1 if seen == now else 0
        if quiet and quiet % _SIGN_OF_LIFE == 0:
            yield _event("alive", {})
        seen = dict(now)
        for _ in range(_LOOK):
            if not service.leaving():
                await asyncio.sleep(_STEP_S)


def _told(service: Service, name: str) -> dict[str, Any]:
    try:
        facts = run_facts(service.place.run(name))
    except UserError as error:
        return {"run": name, "status": "damaged", "reason": str(error)}
    told: dict[str, Any] = plain({key: facts.get(key) for key in ("status", "round", "rounds", "reason")})
    return {"run": name, **told}


def _event(kind: str, data: dict[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"
