"""What the address asks for and is not there is told in a sentence, and the rest is drawn."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.explorer.conftest import drawn
from tests.support.fake_run import write_run

pytestmark = pytest.mark.slow

_VIEWS = "study|rounds|layers|clients|heterogeneity|training|table"
TOLD = "#mistakes > .told:not([hidden])"


@pytest.fixture(scope="module")
def run(study: Path) -> str:
    return min(folder.name for folder in study.iterdir())


@pytest.mark.parametrize("address, told", [
    ("view=rounds&client=77", "There is no client 77: the run has clients 0 to 4."),
    ("view=clients&other=9", "There is no client 9: the run has clients 0 to 4."),
    ("view=layers&layer=zzz", "There is no layer zzz: the run has "),
    ("view=training&class=zzz", "There is no class zzz: the run has "),
    ("view=rounds&round=99", "There is no round 99: the run has rounds 0 to "),
    ("view=heterogeneity&round=-3", "round must be a whole number from 0 on, the address has -3: it is passed over."),
    ("view=rounds&round=1.5", "round must be a whole number from 0 on, the address has 1.5: it is passed over."),
    ("view=rounds&client=one", "client must be a whole number from 0 on, the address has one: it is passed over."),
    ("view=nope", "There is no view nope: there are study, rounds, layers, "),
    ("view=rounds&metric=zzz", "There is no metric zzz: the run has "),
    ("view=layers&metric=zzz", "There is no metric zzz: the run has "),
    ("view=clients&metric=zzz", "There is no metric zzz: the run has "),
    ("view=table&table=zzz", "There is no table zzz: there are records, pairs, spectra, resources. Shown is records."),
    ("view=table&table.offset=-1", "table.offset must be a whole number from 0 on, the address has -1: "),
    ("view=rounds&rounds.resource=zzz", "There is no resource zzz: there are "),
    ("view=rounds&rounds.clients=zzz", "There is no clients zzz: there are each, no. Shown is what fits."),
    ("view=layers&layers.face=zzz", "There is no face zzz: there are metric, client, layer. Shown is metric."),
    ("view=layers&layers.series=zzz", "There is no series zzz: there "),
    ("view=clients&clients.order=zzz", "There is no order zzz: there "),
    ("view=study&study.sort=zzz", "There is no sort zzz: there are run, -run, "),
    ("view=study&runs=zzz", "Of the picked runs there is no zzz: passed over."),
    ("view=rounds&layr=conv2", "layr in the address is nothing that can be selected: it is passed over."),
    ("view=rounds&rounds.zzz=1", "rounds.zzz in the address is nothing that can be selected: it is passed over."),
])  # fmt: skip
def test_what_is_not_there_is_told_and_the_rest_drawn(
    open_page: Any, served: str, run: str, address: str, told: str
) -> None:
    # pages' end says that there was no error.
    page = open_page(f"{served}#run={run}&{address}")
    assert page.inner_text(TOLD).startswith(told)
    page.evaluate("location.hash = 'view=rounds'")
    page.wait_for_selector(TOLD, state="detached")
    drawn(page)


def test_every_view_tells_of_all_that_it_takes_from_the_address() -> None:
    web = Path(__file__).parents[2] / "web" / "js"
    texts = [path.read_text() for path in web.rglob("*.js")]
    found = {name for text in texts for name in re.findall(rf'"((?:{_VIEWS})\.[a-z]+)"', text)}
    own = {f"heterogeneity.{name}" for text in texts for name in re.findall(r'\b(?:own|one)\((?:"|\{ )([a-z]+)', text)}
    (listed,) = re.findall(r"^const NAMES = \{(.*?)^\};", (web / "mistakes.js").read_text(), re.DOTALL | re.MULTILINE)
    known = {
        f"{view}.{name}"
        for view, names in re.findall(r"(\w+): \[(.*?)\]", listed)
        for name in re.findall(r'"([^"]+)"', names)
    }
    assert {*found, *own} == {name for name in known if not name.endswith(".of")}


@pytest.mark.parametrize("name", ["nope", "<b>nope</b>", "../main"])
def test_a_run_that_is_gone_is_told_and_every_view_draws_another(
    open_page: Any, served: str, run: str, name: str
) -> None:
    page = open_page(f"{served}#view=rounds&run={quote(name, safe='')}")
    assert page.inner_text(TOLD).startswith(f"There is no run {name}: there are {run}, ")
    drawn(page)
    page.click("[data-view=study]")
    page.wait_for_selector(f"#view-study:visible tr:has-text('{run}')")
    assert page.inner_text(TOLD).startswith(f"There is no run {name}: ")


def test_a_run_without_a_federated_model_says_so_and_nothing_of_another_run_stays(
    open_page: Any, serve: Any, tmp_path: Path
) -> None:
    for seed, algorithm in enumerate(("local", "fedavg")):
        folder = write_run(tmp_path / "main", clients=3, seed=seed, algorithm=algorithm)
        facts = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(facts | {"algorithm": algorithm}))
    service = serve(tmp_path / "main")
    names = {folder.name.split("-")[1]: folder.name for folder in (tmp_path / "main").iterdir()}
    page = open_page(f"{service.address}#view=heterogeneity&run={names['local']}&client=1")
    assert page.inner_text("#view-heterogeneity").startswith("This run has no federated model, its clients train alone")
    assert "null" not in page.inner_text("#view-heterogeneity")
    page.select_option("#selection select", names["fedavg"])
    page.wait_for_selector("#view-heterogeneity .why:has-text('has kept no federated model')")
    assert "client" not in page.evaluate("location.hash")
    page.close()
    service.stop()


def test_a_run_without_classes_has_no_tiers_and_says_so(open_page: Any, served: str, study: Path) -> None:
    name = min(folder.name for folder in study.iterdir() if "fedprox" in folder.name)
    page = open_page(f"{served}#run={name}&view=training&training.tiers=zzz")
    assert page.inner_text(TOLD) == "There is no tiers zzz. It is passed over."
    part = page.locator("#part-classes")
    assert part.locator(".without").inner_text().startswith("Not measured: ")
    assert part.locator("select").count() == 0 and not part.locator(".charts").is_visible()
