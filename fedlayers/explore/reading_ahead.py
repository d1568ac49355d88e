"""What the first looks at a run ask, read before somebody asks: a large run's columns take longer than its page.

What the first view shows is worked out at once, the rest as soon as nobody waits for an answer.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from fedlayers.core.errors import UserError
from fedlayers.explore.answers import RunAnswers
from fedlayers.explore.place import Place


def read_ahead(place: Place, answers: RunAnswers, leaving: Callable[[], bool] = lambda: False) -> None:
    """Work out what the first views of a single run show; what the run does not hold is left to whoever asks.

    Args:
        place: a run's; of a study nobody knows which run will be looked at.
        answers: remember it.
        leaving: says whether the service is about to end: the rest is not read then.
    """
    if not place.is_run:
        return
    first = [question.answered for question in answers.asked_first(place.root)]
    calm = answers.tables.calm
    if _asked(place, [*first, answers.first], leaving):
        calm.finish()
        _asked(place, [answers.layers, answers.clients], lambda: leaving() or not calm.wait())


def _asked(place: Place, questions: Sequence[Callable[[Path], object]], leaving: Callable[[], bool]) -> bool:
    """Ask questions about the run of a place; return whether all were, before the service is about to end."""
    for question in questions:
        if leaving():
            return False
        try:
            question(place.run(place.root.name))
        except UserError:
            continue
    return True
