"""Which status of HTTP goes with a sentence; apart from the answers themselves, which need FastAPI, slow to import."""

from fedlayers.core.errors import UserError

# What can be asked of a run is not what it holds: it is damaged, or was told to keep less.
CONFLICT, NOT_THERE = 409, 404


class NotThere(UserError):
    """There is no run, client, round or the like of the name or number asked for."""


def status_of(error: UserError) -> int:
    """Return the status of HTTP that goes with a sentence."""
    return NOT_THERE if isinstance(error, NotThere) else CONFLICT
