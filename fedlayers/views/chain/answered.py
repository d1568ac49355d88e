"""What is known of the three questions in some runs: tables, and the statements made of them."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import pandas as pd

from fedlayers.runs.reading.tables import Tables
from fedlayers.views.chain import statements
from fedlayers.views.chain.answers import Answer, answers, table_of_answers
from fedlayers.views.chain.comparisons import Contrast, client_answers, comparisons
from fedlayers.views.chain.groups import ChainStudy
from fedlayers.views.chain.readings import readings
from fedlayers.views.run_groups import complete_runs, setting_of, settings_of


@dataclass(frozen=True)
class Answered:
    """The answers of a run or a study.

    Attributes:
        study: whose runs.
        readings: the values they come from, see :func:`fedlayers.views.chain.readings.readings`.
        found: what every quantity says.
        compared: by how much groups differ.
    """

    study: ChainStudy
    readings: pd.DataFrame
    found: list[Answer]
    compared: list[Contrast]

    @classmethod
    def of(cls, study: ChainStudy) -> "Answered":
        """Return the answers of the runs of a study."""
        rows = readings(study)
        sizes = {group.group.name: len(group.group.runs) for group in study.groups}
        found = [_with_lost(one, sizes[one.group]) for one in answers(rows, study.quantities)]
        return cls(study, rows, found, comparisons(study, rows, found))

    @property
    def table(self) -> pd.DataFrame:
        """What every quantity says: a row per group, question, quantity, variant and owner, see ``Answer``."""
        return table_of_answers(self.found)

    @property
    def differences(self) -> pd.DataFrame:
        """By how much groups differ: a row per two groups and quantity, see ``Contrast``."""
        return pd.DataFrame([asdict(one) for one in self.compared], columns=list(Contrast.__dataclass_fields__))

    @cached_property
    def clients(self) -> pd.DataFrame:
        """What every client's own model says, see :func:`fedlayers.views.chain.comparisons.client_answers`."""
        return client_answers(self.readings)

    def paragraphs(self) -> Iterator[tuple[str, list[str]]]:
        """Yield a heading (a question, a group) and the sentences below it."""
        known = self.study.quantities
        for question, found in statements.by_question(self.found):
            sentences = []
            for answer in (one for one in found if one.main):
                whose = f"{answer.group}, {answer.who}" if len(self.study.groups) > 1 else answer.who
                others = [one for one in found if (one.group, one.who) == (answer.group, answer.who) and not one.main]
                told = statements.beside(others, known)
                sentences.append(f"{whose}: {statements.statement(answer, known)}")
                sentences += [f"Beside it: {told}."] if told else []
                sentences += filter(None, [statements.of_clients(self.clients, answer, known)])
            yield question.text, sentences
        if told_of := statements.compared(self.compared, known):
            yield "Does it depend on how and what was trained?", told_of

    @property
    def text(self) -> str:
        """The statements, as a command prints them."""
        parts = ["\n".join([heading, *(f"  {line}" for line in lines)]) for heading, lines in self.paragraphs()]
        return "\n\n".join(parts)


def _with_lost(answer: Answer, runs: int) -> Answer:
    """Return an answer that says of how many runs of its group there are no values."""
    if answer.runs == runs:
        return answer
    lost = f"{runs - answer.runs} of {runs} runs {'has' if runs - answer.runs == 1 else 'have'} no value of it"
    return replace(answer, reason=f"{answer.reason}; {lost}" if answer.reason else lost)


def answered(tables: Tables) -> Answered:
    """Return the answers of a run, or of the complete runs of a study.

    Args:
        tables: of a run or a study.

    Raises:
        UserError: no run of the study is complete.
    """
    if not tables.several:
        return Answered.of(ChainStudy.of(tables.records, [setting_of(tables.path)]))
    runs = complete_runs(tables)
    records = replace(tables, runs=runs).records
    return Answered.of(ChainStudy.of(records, settings_of(runs)))
