"""The page and its files as a browser gets them."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from fedlayers.charts.charted import Charted
from fedlayers.charts.web_files import CHARTS, STYLES, TABLES, digest_of, module_names, web_files, web_folder
from fedlayers.explore import answers
from fedlayers.explore.app import application
from fedlayers.explore.place import Place
from fedlayers.explore.routes import page as first_page
from tests.support.fake_run import write_run
from tests.support.saved_pages import unpacked

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    place = Place.at(write_run(tmp_path_factory.mktemp("study")))
    with TestClient(application(place), base_url="http://127.0.0.1:8000") as found:
        yield found


def told_first(page: str) -> dict[str, Any]:
    """Return what the page says to the script that begins."""
    (told,) = re.findall(r'<script type="application/json" id="first">(.*?)</script>', page)
    found: dict[str, Any] = json.loads(told)
    return found


def test_the_page_names_each_file_with_its_version_and_runs_no_other_text(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["cache-control"] == "no-cache"
    policy = page.headers.get_list("content-security-policy")
    (start,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert len(policy) == 1 and f"script-src 'self' '{digest_of(start)}';" in policy[0]
    assert start == web_files()["first.js"].read_text(encoding="utf-8")
    assert "default-src 'self'" in policy[0] and "http" not in policy[0]
    told = told_first(page.text)
    named = re.findall(r'(?:src|href)="(\./[^"]*)"', page.text)
    own = [address for view in told["views"].values() for address in view.values()]
    addresses = [*named, told["library"], told["tables"], *own]
    assert len(addresses) == len({*addresses}) == len(named) + 2 + 2 * len(told["views"])
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"], address
        assert answer.headers["content-type"].startswith("text/javascript")
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert all(web_files()[style].read_text(encoding="utf-8") in page.text for style in STYLES)


def test_the_page_has_all_modules_of_a_view_in_one_file_and_asks_before_they_are_there(client: TestClient) -> None:
    page = client.get("/").text
    told, names = told_first(page), module_names(web_files())
    entry = web_files()["js/page.js"].read_text(encoding="utf-8")
    views = dict(re.findall(r'name: "(\w+)".*import\("(fedlayers/[^"]+)"\)', entry))
    assert list(told["views"]) == list(views) and told["view"] == "rounds"
    assert page.index('id="first"') < page.index("<style>")
    for view, addresses in told["views"].items():
        own, others = (
            re.findall(r'^held\["(.*?)"\] = ', client.get(addresses[part]).text, re.MULTILINE)
            for part in ("own", "others")
        )
        assert sorted([*own, *others]) == sorted(names)
        is_called = [
            client.get(addresses[part]).text.startswith("//# allFunctionsCalledOnLoad\n") for part in addresses
        ]
        assert is_called == [True, False]
        assert own[-1] == "fedlayers/page.js" and views[view] in own and {*views.values()} - {views[view]} <= {*others}
        for name in own:
            text = web_files()[names[name]].read_text(encoding="utf-8")
            before = own[: own.index(name)]
            assert {*re.findall(r'^(?:import|export) [^;]*?"(fedlayers/[^"]+)";', text, re.MULTILINE)} <= {*before}


def held_first(page: str) -> dict[str, Any]:
    """Return what the page holds from the beginning: key of a question -> answer."""
    (told,) = re.findall(r'<script type="application/json" id="first-answers">(.*?)</script>', page)
    found: dict[str, Any] = json.loads(told)
    return found


def test_the_page_holds_what_the_first_view_asks_to_the_last_digit(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_page, "_WAIT_S", 60.0)
    held, told = held_first(client.get("/").text), told_first(client.get("/").text)
    assert told["always"] == told["first"] == []
    (run,) = (one["run"] for one in held["runs?"]["json"])
    assert held["runs?"]["json"] == client.get("/api/runs").json()
    assert held[f"runs/{run}?"]["json"] == client.get(f"/api/runs/{run}").json()
    charts = {key: answer for key, answer in held.items() if "/charts/" in key and "refused" not in answer}
    assert [key.partition("/charts/")[2] for key in charts] == [
        "measured?", "curves?few=30&metric=accuracy", "curves?few=30&metric=loss", "participation?", "resources?",
    ]  # fmt: skip
    for key, answer in charts.items():
        asked = Charted.of_stream(client.get(f"/api/{key}").content)
        columns = unpacked(answer)
        assert answer["facts"] == asked.facts and answer["length"] == len(asked) > 0
        for name, column in asked.columns.items():
            assert np.array_equal(np.asarray(columns[name]), np.asarray(column), equal_nan=not isinstance(column, list))


def test_what_the_page_cannot_hold_it_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path)
    shutil.rmtree(run / "resources")
    monkeypatch.setattr(first_page, "_WAIT_S", 60.0)
    monkeypatch.setattr(answers, "_LONGEST_HELD", 3000)
    with TestClient(application(Place.at(run)), base_url="http://127.0.0.1:8000") as client:
        page = client.get("/").text
        held, told = held_first(page), told_first(page)
        refused = client.get(f"/api/runs/{run.name}/charts/resources")
        assert held[f"runs/{run.name}/charts/resources?"] == {"refused": refused.status_code, **refused.json()}
        assert told["first"] and all("/charts/curves?few=30&metric=" in address for address in told["first"])
        for address in told["first"]:
            assert client.get(f"/{address}").status_code == 200
        # What takes long is not waited for, and what is damaged is told where the page asks.
        monkeypatch.setattr(answers.RunAnswers, "first_soon", lambda *_: {})
        assert len(told_first(client.get("/").text)["first"]) == 6
        (run / "run.json").write_text("{")
        assert held_first(client.get("/").text) == {}
        assert told_first(client.get("/").text)["always"] == ["api/runs", f"api/runs/{run.name}"]


@pytest.mark.parametrize(
    ("cookie", "said"), [("dark", '<html data-theme="dark" '), ("light", '<html data-theme="light" ')]
)
def test_the_page_comes_in_the_colours_that_its_reader_chose(client: TestClient, cookie: str, said: str) -> None:
    assert said in client.get("/", headers={"Cookie": f"fedlayers_theme={cookie}"}).text


@pytest.mark.parametrize("cookie", ['"><script>', "blue", ""])
def test_no_other_word_of_a_cookie_gets_into_the_page(client: TestClient, cookie: str) -> None:
    assert client.get("/", headers={"Cookie": f"fedlayers_theme={cookie}"}).text == client.get("/").text


def test_a_file_of_another_version_is_asked_for_each_time(client: TestClient) -> None:
    for query in ("", "?v=0123456789ab"):
        assert client.get(f"/web/js/page.js{query}").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["js/nix.js", "../pyproject.toml", "..%2fpyproject.toml", "js", ""])
def test_nothing_but_the_pages_files_is_sent(client: TestClient, path: str) -> None:
    answer = client.get(f"/web/{path}")
    assert answer.status_code == 404 and "there is no " in answer.json()["detail"]


def test_everything_else_keeps_the_policy_of_the_service(client: TestClient) -> None:
    (policy,) = client.get("/docs").headers.get_list("content-security-policy")
    assert "frame-ancestors 'none'" in policy


def test_libraries_are_those_that_their_table_names(client: TestClient) -> None:
    table = (web_folder() / "vendor" / "README.md").read_text(encoding="utf-8")
    for path in (TABLES, CHARTS):
        digest = hashlib.sha256(web_files()[path].read_bytes()).hexdigest()
        assert re.search(rf"`{re.escape(Path(path).name)}`.*`{digest}`", table)
    for name in re.findall(r"`((?:LICENSE|NOTICE)[^`]*)`", table):
        assert (web_folder() / "vendor" / name).is_file()


def test_modules_load_nothing_from_elsewhere_and_write_no_markup() -> None:
    # A name of a kind of elements, which nobody asks for.
    svg = '"http://www.w3.org/2000/svg"'
    own = {
        path: file.read_text(encoding="utf-8").replace(svg, "")
        for path, file in web_files().items()
        if path.startswith("js/")
    }
    for path, text in own.items():
        assert not re.search(r"https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text), path
        assert len(text.splitlines()) <= 300, path
        names = re.findall(r'^(?:import|export) [^;]*?from "([^"]+)";', text, re.MULTILINE | re.DOTALL)
        assert all(
            name.startswith("fedlayers/") and f"js/{name.removeprefix('fedlayers/')}" in own for name in names
        ), path


def test_the_page_goes_into_the_wheel() -> None:
    said = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"web" = "fedlayers/web"' in said
    every = {path for path in web_folder().rglob("*") if path.is_file()}
    assert every == {*web_files().values()}
