"""What a saved page holds beside its charts: rows of the run's tables, and how clients differ as it measured it."""

from fedlayers.charts.charted import Charted
from fedlayers.charts.differing import client_disagreements, client_record_clusters, client_verdicts
from fedlayers.charts.packed import packed, size_of
from fedlayers.charts.questions import key_of, path_of
from fedlayers.charts.rows import rows_of_last_rounds
from fedlayers.core.errors import UserError
from fedlayers.report.room import Room
from fedlayers.runs.reading.tables import Tables

# Rows of each table at most: two megabytes are for all of a page.
MOST_ROWS = {"records": 4000, "pairs": 1500, "resources": 500}
_DIFFERING = {"verdicts": client_verdicts, "disagreements": client_disagreements, "clusters": client_record_clusters}


def beside_charts(tables: Tables, room: Room) -> dict[str, object]:
    """Return key of a question -> what the page gets, as :func:`fedlayers.report.kept.answers_of` does.

    They are cheap, and none of the answers that a page may hold for charts is lost to them.

    Args:
        tables: of the run.
        room: how many values there is room for.
    """
    run, found = tables.path.resolve().name, dict[str, object]()

    def keep(charted: Charted, *path: str) -> None:
        if room.hold(size_of(charted)):
            found[key_of(path_of("runs", run, *path))] = packed(charted)

    for name, chart in _DIFFERING.items():
        try:
            keep(chart(tables), "charts", "differing", name)
        except UserError:  # the page says so in its place
            continue
    for table, most in MOST_ROWS.items():
        rows = rows_of_last_rounds(tables, table, most, room.values)
        if len(rows):
            keep(rows, "tables", table, "saved")
    return found
