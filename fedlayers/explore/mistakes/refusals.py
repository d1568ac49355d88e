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
from fedlayers.explore.mistakes.malformed import malformed_sentence
from fedlayers.explore.mistakes.statuses import CONFLICT, NOT_THERE, status_of

_MALFORMED, _UNREADABLE = 422, 400
# What a request says that wants to be told of refusals, and what the answer then says.
_ASKED, _TOLD, _STATUS = "X-Refusals", "told", "X-Refused"


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str = Field(description="One sentence: what is allowed, what came, what to do.")


# Of every route, for its description.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    NOT_THERE: {"model": Problem, "description": "There is nothing of that name or number."},
    CONFLICT: {
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
        if error.status_code == NOT_THERE and told == "Not Found":
            told = f"there is no {request.url.path}: /docs lists what there is"
        return JSONResponse({"detail": told}, error.status_code, headers=error.headers)
