"""One table for a study: all complete runs' records with the run facts as columns."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import disk_errors
from fedlayers.runs.expected.expected_runs import expected_file, expected_runs
from fedlayers.runs.partition_table import check_partition
from fedlayers.runs.quantities import load_quantities
from fedlayers.runs.reading.run_columns import config_of, fact_columns
from fedlayers.runs.reading.run_facts import run_facts, run_folders
from fedlayers.studies.last_aggregation import CompleteRun, LastAggregation, look_of, recall, remember
from fedlayers.studies.study_table import UnreadableRunError, made_by, write_table

LOCK_TIMEOUT_S = 120.0
_LISTED = 10


@dataclass(frozen=True)
class AggregateReport:
    """What a study consists of and what became of its table.

    Attributes:
        study: the study folder.
        table: ``study.parquet``, None if no run is complete.
        rows: the number of records in it.
        changed: whether the table differs from the one that was there before.
        complete: names of the runs in the table.
        unfinished: name -> ``"running, round 3/20"`` or ``"stopped, round 3/20"``.
        failed: name -> reason.
        missing: name -> overrides; expected runs that have no folder.
    """

    study: Path
    table: Path | None
    rows: int
    changed: bool
    complete: tuple[str, ...]
    unfinished: Mapping[str, str]
    failed: Mapping[str, str]
    missing: Mapping[str, str]

    @property
    def counts(self) -> str:
        """How many runs are complete, unfinished, failed and missing, in one phrase."""
        groups = {
            "complete": self.complete,
            "unfinished": self.unfinished,
            "failed": self.failed,
            "missing": self.missing,
        }
        return ", ".join(f"{len(runs)} {state}" for state, runs in groups.items() if runs or state == "complete")

    def __str__(self) -> str:
        """Return the report as text: a line of counts, and a line per run that is not in the table."""
        if self.table is None:
            return (
                f"no complete run with records in {self.study} ({self.counts}): wait for a run or start the study again"
            )
        lines = [f"{self.table}: {self.rows:,} records ({self.counts})"]
        for state in ("unfinished", "failed", "missing"):
            runs: Mapping[str, str] = getattr(self, state)
            lines += [f"  {state}: {name} ({why})" for name, why in list(runs.items())[:_LISTED]]
            if len(runs) > _LISTED:
                lines.append(f"  {state}: and {len(runs) - _LISTED} more")
        return "\n".join(lines)


def aggregate(study_dir: Path) -> AggregateReport:
    """Write ``study.parquet`` (and ``study_pairs.parquet``) of the complete runs and return what was found.

    Run by run, sorted by metric, in row groups of whole metrics with at least ``ROW_GROUP_ROWS`` rows (fewer at
    the end of a run): a reader that asks for a metric, a seed or another number of the run skips the others. The
    run facts and the configuration entries in which the runs differ are columns. Runs that are not complete are
    listed in the report, not in the table. The same runs give the same bytes, and a table that would not change
    is left untouched. Runs whose files are as they were at the last aggregation are not read again: their rows are
    copied from the old table.

    Args:
        study_dir: ``results/<study>``.

    Raises:
        UserError: if there is no such folder, it holds no runs and expects none, ``expected.json`` cannot be read, or
            another aggregation of the study does not end.
    """
    study = Path(study_dir)
    if not study.is_dir():
        raise UserError(f"there is no folder {study}: give a study folder, such as results/main")
    if not run_folders(study) and not expected_file(study).is_file():
        raise UserError(
            f"{study} holds no runs and no expected.json: give a study folder (results/<study>), or run the study first"
        )
    try:
        with (
            disk_errors(study / "study.parquet", of_a_run=False),
            FileLock(study / ".aggregate.lock", timeout=LOCK_TIMEOUT_S),
        ):
            return _aggregate(study)
    except Timeout:
        raise UserError(
            f"another process has been aggregating {study} for over {LOCK_TIMEOUT_S:.0f} s: wait for it and try again"
        ) from None


def _aggregate(study: Path) -> AggregateReport:
    last = recall(study, made_by())
    complete, unfinished, failed = _sort_out(study, last.runs)
    missing = {
        name: " ".join(words)
        for name, words in expected_runs(study).items()
        if not (study / name / "run.json").is_file()
    }
    rows, changed = last.rows if complete else 0, False
    while complete and not last.is_of(complete):
        try:
            rows, changed = _write(study, complete)
            break
        except UnreadableRunError as damaged:
            del complete[damaged.run]
            failed[damaged.run.name] = damaged.reason
            # One of the two tables may have been replaced: nothing can be copied from it.
            last, complete = LastAggregation(), {run: replace(one, groups={}) for run, one in complete.items()}
            rows = 0
    table = study / "study.parquet" if rows and complete else None
    names = tuple(run.name for run in complete)
    return AggregateReport(study, table, rows, changed, names, unfinished, failed, missing)


def _write(study: Path, complete: Mapping[Path, CompleteRun]) -> tuple[int, bool]:
    """Write both tables and remember what they are of; return the number of records and whether a table changed."""
    rows, changed, records = write_table(study, "records", complete)
    _, other, pairs = write_table(study, "pairs", complete)
    runs = {
        run.name: replace(one, groups={"records": records[run], "pairs": pairs[run]}) for run, one in complete.items()
    }
    remember(study, made_by(), LastAggregation(runs, rows))
    return rows, changed or other


def _sort_out(
    study: Path, known: Mapping[str, CompleteRun]
) -> tuple[dict[Path, CompleteRun], dict[str, str], dict[str, str]]:
    """Return the complete runs, as known if they look as they did, and name -> why of unfinished and failed ones."""
    complete: dict[Path, CompleteRun] = {}
    unfinished: dict[str, str] = {}
    failed: dict[str, str] = {}
    for run in run_folders(study):
        look = look_of(run)
        if run.name in known and known[run.name].look == look:
            complete[run] = known[run.name]
            continue
        try:
            facts = run_facts(run)
            status = facts["status"]
            if status == "complete":
                check_partition(run)
                complete[run] = CompleteRun(look, fact_columns(facts), config_of(run), load_quantities(run))
                continue
        except UserError as error:
            failed[run.name] = str(error)
            continue
        if status == "failed":
            failed[run.name] = str(facts.get("reason") or "no reason given; see log.txt")
        else:
            unfinished[run.name] = f"{status}, round {facts.get('round') or 0} of {facts.get('rounds', '?')}"
    return complete, unfinished, failed
