"""What the service answers where it cannot do what is asked: a status of HTTP and one sentence.

A browser notes every status from 400 on as an error of the page that asked, also where the page expects it and says it
in its place. A request with ``X-Refusals: told`` gets the same sentence with status 200, and ``X-Refused`` has that
status.
"""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from fedlayers.core.errors import UserError
from fedlayers.explore.malformed import malformed_sentence

# What can be asked of a run is not what it holds: it is damaged, or was told to keep less.
_CONFLICT, _NOT_THERE, _MALFORMED, _UNREADABLE = 409, 404, 422, 400
# What a request says that wants to be told of refusals, and what the answer then says.
_ASKED, _TOLD, _STATUS = "X-Refusals", "told", "X-Refused"


class NotThere(UserError):
    """There is no run, client, round or the like of the name or number asked for."""


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str = Field(description="One sentence: what is allowed, what came, what to do.")


# Of every route, for its description.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    _NOT_THERE: {"model": Problem, "description": "There is nothing of that name or number."},
    _CONFLICT: {
        "model": Problem,
        "description": "The run does not hold what this needs; the sentence says how to keep it.",
    },
    _UNREADABLE: {"model": Problem, "description": "The body cannot be read."},
    _MALFORMED: {"model": Problem, "description": "A parameter is malformed or out of its range."},
}


def refused(status: int, sentence: str, request: Request | None = None) -> Response:
    """Return the answer with a status and one sentence.

    Args:
        status: of HTTP.
        sentence: why.
        request: what was asked, if it may want the sentence with status 200.
    """
    if request is not None and request.headers.get(_ASKED) == _TOLD:
        return JSONResponse({"detail": sentence}, headers={_STATUS: str(status)})
    return JSONResponse({"detail": sentence}, status)


def status_of(error: UserError) -> int:
    """Return the status of HTTP that goes with a sentence."""
    return _NOT_THERE if isinstance(error, NotThere) else _CONFLICT


def answer_problems(app: FastAPI) -> None:
    """Let an application answer each mistake with its sentence."""

    @app.exception_handler(UserError)
    def _told(request: Request, error: UserError) -> Response:
        return refused(status_of(error), str(error), request)

    @app.exception_handler(RequestValidationError)
    def _malformed(request: Request, error: RequestValidationError) -> Response:
        return refused(_MALFORMED, malformed_sentence(error.errors()), request)

    @app.exception_handler(HTTPException)
    def _plain(request: Request, error: HTTPException) -> Response:
        told = str(error.detail)
        if error.status_code == _NOT_THERE and told == "Not Found":
            told = f"there is no {request.url.path}: /docs lists what there is"
        return JSONResponse({"detail": told}, error.status_code, headers=error.headers)
