"""What views, figures and report tell of two planted clients, in a small version of the case study."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import AxesImage

from fedlayers.config.compose import compose_config
from fedlayers.execution.execute import execute
from fedlayers.figures.available import figures_in, figures_of
from fedlayers.report.heterogeneity import heterogeneity_part
from fedlayers.report.page import write_report
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables, read
from fedlayers.views.heterogeneity.disagreements import SPLITS, disagreements, origins
from fedlayers.views.heterogeneity.record_clusters import record_clusters
from fedlayers.views.heterogeneity.verdicts import group_verdicts, verdicts
from tests.support.browser import Pages, accessibility_faults
from tests.support.fake_run import write_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Whose images are turned, and of whom the labels 2 and 4 are exchanged.
TURNED, ODD = 1, 4
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Return those of the case study on the digits, with six clients."""
    words = ["+experiment=heterogeneity_case", "dataset=digits", "clients=6", "examples_per_client=null", "rounds=5"]
    words += [f"plant.rotated=[[{TURNED},90]]", f"plant.relabelled=[[{ODD},2,4]]", "engine=local", "progress=none"]
    words += ["metrics.heterogeneity.rounds=[3,last]", "metrics.clusters.rounds=[last]", "figures=false"]
    return read(execute(compose_config([*words, f"results_dir={tmp_path_factory.mktemp('results')}"])))


@pytest.fixture(scope="module")
def facts(tables: Tables) -> dict[str, object]:
    return run_facts(tables.path)


def of(tables: Tables, metric: str, **columns: object) -> pd.DataFrame:
    rows = tables.records[tables.records["metric"] == metric]
    for name, value in columns.items():
        rows = rows[rows[name] == value]
    return rows


def test_disagreement_is_told_round_by_round_beside_its_null_level(tables: Tables, facts: dict[str, object]) -> None:
    rows = disagreements(tables.records, facts)
    assert list(zip(rows["round"], rows["client"], strict=True)) == [(r, c) for r in (3, 5) for c in range(6)]
    known = of(tables, "disagreement", client=TURNED, round=5).iloc[0]
    last = rows[(rows["round"] == 5) & (rows["client"] == TURNED)].iloc[0]
    assert known["chance"] > 0 and last["value"] == rows[rows["round"] == 5]["value"].max()
    assert (last["value"], last["chance"], last["p"]) == (known["value"], known["chance"], known["p"])


@pytest.mark.parametrize("by", ["disagreement_by_class", "disagreement_by_tier", "disagreement_by_layer"])
def test_parts_stand_in_their_order_with_the_values_of_the_last_round(
    tables: Tables, facts: dict[str, object], by: str
) -> None:
    rows = origins(tables.records, facts, by)
    expected = {
        "disagreement_by_class": [str(digit) for digit in range(10)],
        "disagreement_by_tier": ["head", "medium", "tail"],
        "disagreement_by_layer": ["fc1", "fc2"],
    }[by]
    assert [part for part in expected if part in set(rows["part"])] == list(dict.fromkeys(rows["part"]))
    column = "layer" if by == "disagreement_by_layer" else "subject"
    known = of(tables, by, client=1, round=5, **{column: expected[0]})
    known = known[known["variant"] == "percentile"] if by == "disagreement_by_tier" else known
    assert rows[(rows["client"] == 1) & (rows["part"] == expected[0])]["value"].tolist() == known["value"].tolist()


def test_groups_of_clients_are_planted_ones_and_clusters(tables: Tables, facts: dict[str, object]) -> None:
    rows = origins(tables.records, facts, "disagreement_by_group").set_index("part")
    assert {"cluster 0", "planted group 0", "planted group 1", "planted group 2"} <= set(rows.index)
    for group, client in ((1, TURNED), (2, ODD)):
        known = of(tables, "disagreement", client=client, round=5)["value"].iloc[0]
        assert rows.loc[f"planted group {group}", "value"] == known
    told = group_verdicts(tables.records)
    named = told[told["named"]]
    assert set(zip(named["group"], named["kind"], strict=True)) == {
        ("planted group 1", "feature"),
        ("planted group 2", "concept"),
    }


def test_exactly_the_two_planted_clients_are_named_with_their_kinds(tables: Tables, facts: dict[str, object]) -> None:
    rows = verdicts(tables.records, facts)
    assert len(rows) == 6 * 3 and set(rows["round"]) == {5}
    named = rows[rows["named"]]
    assert list(zip(named["client"], named["kind"], strict=True)) == [(TURNED, "feature"), (ODD, "concept")]
    assert named["classes"].tolist()[1] == ["2", "4"]
    sentence = named["sentence"].iloc[1]
    assert sentence.startswith("its labels mean something else (concept shift, most in 2 and 4, p = 0.0")
    assert "nothing can be said about concept shift" in named["sentence"].iloc[0]
    assert rows[rows["client"] == 0]["sentence"].iloc[0] == "no difference from the others was found"


def test_record_clusters_have_size_and_accuracy(tables: Tables, facts: dict[str, object]) -> None:
    rows = record_clusters(tables.records, facts)
    own = rows[rows["client"] == ODD]
    known = of(tables, "record_cluster_size", client=ODD, round=5)
    assert sorted(own["size"]) == sorted(known["value"].astype(int))
    accuracy = of(tables, "record_cluster_accuracy", client=ODD, round=5).set_index("subject")["value"]
    assert own["accuracy"].tolist() == [accuracy[str(cluster)] for cluster in own["cluster"]]


def test_figures_draw_what_views_tell(tables: Tables, facts: dict[str, object]) -> None:
    made = {one.family: one for one in figures_in(tables)}
    lines = made["disagreement"].make()
    assert lines is not None and len(lines.axes) == 2
    rows = disagreements(tables.records, facts)
    drawn = lines.axes[0].get_lines()[0].get_ydata()
    np.testing.assert_allclose(np.asarray(drawn, float), rows[rows["round"] == 5]["value"])
    table = made["shift_verdicts"].make()
    assert table is not None and len(table.axes[0].patches) == 2
    (image,) = [one for one in table.axes[0].get_children() if isinstance(one, AxesImage)]
    expected = verdicts(tables.records, facts)["effect"].to_numpy().reshape(6, 3)
    np.testing.assert_allclose(np.ma.filled(np.ma.asarray(image.get_array()), np.nan), expected)
    whence = made["disagreement_origins"].make()
    assert whence is not None
    titles = [axes.get_title() for axes in whence.axes if axes.get_title()]
    assert titles == [f"by {what}" for by, what in SPLITS.items() if not origins(tables.records, facts, by).empty]


def test_the_report_tells_the_verdict_in_words_and_every_client(tables: Tables) -> None:
    part = heterogeneity_part(tables)
    page = write_report(tables.path, answers=4).read_text()
    assert part in page and '<section id="heterogeneity">' in part
    assert f"<p>Client {ODD}: its labels mean something else (concept shift, most in 2 and 4, p = " in part
    assert part.count("no difference from the others was found") == 4
    assert "<p>Planted group 2: its labels mean something else" in part and "<p>Planted group 0" not in part
    assert "<td>layer</td><td>fc1</td>" in part and "% right)" in part


def test_runs_without_the_metric_have_no_part(tables: Tables, tmp_path: Path) -> None:
    run = write_run(tmp_path)
    assert heterogeneity_part(read(run)) == ""
    families = {figure.family for figure in figures_of(run)}
    assert not families & {"disagreement", "shift_verdicts", "disagreement_origins"}
    study = heterogeneity_part(read(tables.path.parent))
    assert f"<h3>{tables.path.name}</h3>" in study


def test_the_saved_view_shows_what_the_run_measured_and_says_what_needs_the_service(
    browser: "Browser", tables: Tables, facts: dict[str, object], tmp_path: Path
) -> None:
    pages = Pages(browser)
    file = write_report(tables.path, tmp_path / "report.html", answers=28)
    page = pages.open(f"{file.as_uri()}#view=heterogeneity", offline=True)
    page.wait_for_selector("#view-heterogeneity:not([aria-busy]) canvas")
    told = verdicts(tables.records, facts)
    rows = page.locator("#view-heterogeneity tbody tr")
    assert rows.count() == 6
    for client in range(6):
        own = told[told["client"] == client]
        cells = rows.nth(client).locator("td").all_inner_texts()
        assert [cell.startswith("yes: ") for cell in cells[:3]] == own["named"].tolist()
        assert cells[-1] == own["sentence"].iloc[0]
    measured = disagreements(tables.records, facts)
    last = measured[measured["round"] == 5].set_index("client")
    share = float(last["value"].loc[TURNED])
    assert f"{share:.0%}".replace("%", " %") in rows.nth(TURNED).inner_text()
    clusters = record_clusters(tables.records, facts)
    for size, accuracy in clusters.loc[clusters["client"] == TURNED, ["size", "accuracy"]].to_numpy():
        assert f"{size:.0f} records ({accuracy:.0%}".replace("%", " %") in rows.nth(TURNED).inner_text()
    drawn = page.evaluate("() => [...document.querySelector('.saved-rounds').charted.columns.value]")
    assert drawn == pytest.approx(measured["value"].tolist(), rel=1e-6)
    assert "python -m fedlayers.explore" in page.inner_text("#view-heterogeneity .why")
    rows.nth(ODD).get_by_role("button").click()
    page.wait_for_url(f"**client={ODD}**")
    page.wait_for_selector("#view-heterogeneity tr.chosen")
    assert accessibility_faults(page) == []
    pages.close()
