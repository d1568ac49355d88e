"""What the kinds of jobs share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fedlayers.core.errors import UserError
from fedlayers.studies.launching.job import Job

POLL_S = 0.5


class Jobs(ABC):
    """Jobs of one sweep.

    Args:
        settings: ``hydra.launcher``, resolved.
        say: how to tell the user.

    Raises:
        UserError: jobs cannot be submitted from here, or the settings are refused.
    """

    def __init__(self, settings: Mapping[str, Any], say: Callable[[str], None]) -> None:
        self.settings, self.say = settings, say

    @property
    @abstractmethod
    def waiting(self) -> int:
        """The number of jobs that have not ended."""

    @abstractmethod
    def start(self, jobs: Mapping[Path, Job]) -> None:
        """Submit jobs, by run folder."""

    @abstractmethod
    def leave(self) -> None:
        """Do, and tell, what becomes of the jobs when nobody waits for them any more."""

    @abstractmethod
    def ended(self) -> Iterator[tuple[Path, str | None]]:
        """Wait a moment; yield run folder and reason of the jobs that ended since, None for an orderly end."""


def refused(error: Exception) -> UserError:
    """Return what to tell when settings are refused or a submission fails."""
    return UserError(f"hydra.launcher has settings with which no job can be submitted: {str(error).strip()}")
