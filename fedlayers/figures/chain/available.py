"""Which figures of layers as a chain can be drawn of a run or a study."""

from collections.abc import Sequence
from functools import cache

import pandas as pd

from fedlayers.figures.chain.research_questions import research_questions
from fedlayers.figures.drawing.drawable import Drawing
from fedlayers.views.chain.answered import Answered
from fedlayers.views.chain.groups import ChainStudy
from fedlayers.views.chain.questions import QUESTIONS
from fedlayers.views.chain.readings import question_rows
from fedlayers.views.run_groups import Setting


def chain_figures(records: pd.DataFrame, settings: Sequence[Setting]) -> list[Drawing]:
    """Return the figures of runs of some settings that are about layers as a chain.

    Args:
        records: their single values.
        settings: of :func:`fedlayers.views.run_groups.settings_of`.
    """
    return _answers(records, settings)


def _answers(records: pd.DataFrame, settings: Sequence[Setting]) -> list[Drawing]:
    """Return the answers; they are a main figure where all three questions have one."""
    measured = set(question_rows(records)["metric"].astype(str))
    if not measured:
        return []
    answered = cache(lambda: Answered.of(ChainStudy.of(records, settings)))
    main = all(question.main in measured for question in QUESTIONS)
    return [
        Drawing("research_questions", lambda: research_questions(answered()), words=lambda: answered().text, main=main)
    ]
