"""A report of a run or a study: the explorer's page with its answers as one file that opens without a service."""

from collections.abc import Mapping
from pathlib import Path

from fedlayers.charts.about import run_line
from fedlayers.charts.questions import key_of, path_of
from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import whole_file
from fedlayers.core.machine.garbage import rare_collections
from fedlayers.core.machine.processes import shared_out
from fedlayers.report.answers import answers_part
from fedlayers.report.beside_charts import beside_charts
from fedlayers.report.head import head_part
from fedlayers.report.heterogeneity import heterogeneity_part
from fedlayers.report.kept import Answers, answers_of
from fedlayers.report.of_study import Scored, scored, study_answers
from fedlayers.report.room import MOST_ANSWERS, Room, shares
from fedlayers.report.saved_page import saved_page
from fedlayers.report.transitions import transitions_part
from fedlayers.runs.damage import readable
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables, read

FILE = "report.html"


def write_report(folder: Path, out: Path | None = None, answers: int = MOST_ANSWERS) -> Path:
    """Write the report of a run, which may still be going on, or of all runs of a study.

    Args:
        folder: of the run or the study.
        out: the file; ``report.html`` in the folder if not given.
        answers: how many answers about a run the page may hold, those that its views show at first before others.

    Returns:
        The file that was written.

    Raises:
        UserError: if ``folder`` is neither, its tables cannot be read, there is nothing to show yet, or the file cannot
            be written.
    """
    tables = read(folder)
    if not tables.runs:
        raise UserError(f"{folder} is one table: give the study folder, {Path(folder).parent}")
    file = out or Path(folder) / FILE
    if file.is_dir() or not file.parent.is_dir():
        raise UserError(f"--out must be a file in a folder that is there, got {file}: give results/<study>/{FILE}")
    with rare_collections():
        shown = _answers(tables, answers)
        if not shown:
            raise UserError(f"{folder} holds nothing that could be shown yet: wait for its first round")
        parts = head_part(tables), transitions_part(tables), answers_part(tables), heterogeneity_part(tables)
        text = saved_page(_title(tables, len(shown)), _together(tables, shown), "\n".join(filter(None, parts)))
    with whole_file(file) as opened:
        opened.write(text.encode())
    return file


def _answers(tables: Tables, most: int) -> dict[Path, tuple[Answers, Scored]]:
    """Return the answers about each run of which something can be shown, and how it fared."""
    rooms = shares(len(tables.runs), most)
    outcomes = dict(zip(tables.runs, shared_out(_outcome, list(zip(tables.runs, rooms, strict=True))), strict=True))

    def answered(run: Path) -> tuple[Answers, Scored] | None:
        if isinstance(outcome := outcomes[run], UserError):
            raise outcome
        return outcome

    found = readable(answered, tables.runs, tables.several)
    return {run: answers for run, answers in found.items() if answers}


def _outcome(asked: tuple[Path, Room]) -> tuple[Answers, Scored] | UserError | None:
    """Return the answers about a run with the room there is for them, or what is wrong with its files."""
    run, room = asked
    own = Tables(run, (run,), several=False)
    try:
        with rare_collections():
            charts = answers_of(own, room)
            return (charts | beside_charts(own, room), scored(own)) if charts else None
    except UserError as error:
        return error


def _together(tables: Tables, shown: Mapping[Path, tuple[Answers, Scored]]) -> Answers:
    runs = [run_line(run.resolve().name, run_facts(run)) for run in shown]
    found: Answers = {key_of(path_of("runs")): {"json": runs}}
    for answers, _ in shown.values():
        found |= answers
    return found | study_answers({run: scores for run, (_, scores) in shown.items()})


def _title(tables: Tables, shown: int) -> str:
    if not tables.several:
        return tables.path.resolve().name
    total = len(tables.runs)
    runs = f"{total} run{'' if total == 1 else 's'}"
    told = runs if shown == total else f"{shown} of {runs} (of the others nothing can be shown)"
    return f"study {tables.path.resolve().name}: {told}"
