"""Every page for people: its commands compose, its snippets compile, and what it refers to is there."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from fedlayers.commands.search import is_search
from fedlayers.config.arguments import read_arguments
from fedlayers.config.compose import compose_config
from fedlayers.config.plugins import check_plugins
from fedlayers.config.schema.settings import Config
from fedlayers.studies.study import compose_sweep
from tests.support.doc_pages import COMMAND, PAGES, ROOT, Page, words_of

# A command that several pages show, or one with other seeds, is composed once.
COMMANDS = sorted(
    {re.sub(r"seed=\S+", "", one): (one, page.name) for page in PAGES for one in page.commands()}.values()
)
WITH_PYTHON = [page for page in PAGES if page.blocks("python")]
# Beside docs/, which `make docs` checks: what a reader of the repository follows.
NEIGHBOURS = [Page(name) for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)")


def configs_of(command: str) -> list[Config]:
    arguments = read_arguments(words_of(command))
    if is_search(arguments.overrides):
        # What a sweeper that is not installed decides is its own; the rest is ours.
        own = [word for word in arguments.overrides if not word.startswith("hydra") and "(" not in word]
        return [compose_config(own)]
    if "--multirun" in arguments.flags:
        return list(compose_sweep([*arguments.overrides, *without_grid(arguments.overrides)]).configs)
    return [compose_config(arguments.overrides)]


def without_grid(words: list[str]) -> list[str]:
    """Return what leaves an experiment without its grid: all its runs are composed where experiments are tested."""
    if not any(word.startswith("+experiment=") for word in words):
        return []
    sweeps = any("," in word and not word.startswith("hydra") for word in words)
    return ["hydra.sweeper.params=null", *([] if sweeps else ["seed=0,1"])]


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_there_is_something_to_test() -> None:
    assert len(COMMANDS) > 30 and len(WITH_PYTHON) > 5


@pytest.mark.parametrize(("command", "page"), COMMANDS)
def test_command_composes_and_its_plugins_exist(
    command: str, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Page(page).write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for config in configs_of(command):
        check_plugins(config)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_other_programs_exist(page: Page) -> None:
    others = [line.split()[2] for line in page.lines() if line.startswith("python -m ") and not COMMAND.match(line)]
    assert all(find_spec(name) for name in others)
    scripts = [
        word for line in page.lines() for word in line.split() if re.match(r"(launch|examples|benchmarks)/", word)
    ]
    assert all((ROOT / script).is_file() for script in scripts)
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert {line.split()[1] for line in page.lines() if line.startswith("make ")} <= set(targets)


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_snippets_compile(page: Page) -> None:
    for number, snippet in enumerate(page.blocks("python")):
        compile(snippet, f"{page.name}, snippet {number}", "exec")


@pytest.mark.parametrize("page", NEIGHBOURS, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Page) -> None:
    for place, anchor in LINK.findall(page.prose):
        target = ROOT / place if place else ROOT / page.name
        assert target.exists(), f"{page.name} links to {place}, which is not there"
        assert not anchor or anchor in anchors(target.read_text()), f"{page.name} links to {place}#{anchor}"


def test_pages_named_anywhere_exist() -> None:
    folders = ("conf", "fedlayers", "metrics", "clients", "strategies", "benchmarks", "launch", "examples")
    files = [
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".yaml", ".sh"}
    ]
    files += [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml", "Makefile")]
    named = {(path.name, page) for path in files for page in re.findall(r"docs/[\w/-]+\.md", path.read_text("utf-8"))}
    assert len(named) > 5
    assert {(file, page) for file, page in named if not (ROOT / page).exists()} == set()


@pytest.mark.parametrize(
    "name", ["README.md", *(f"docs/{name}.md" for name in ("options", "equal-numbers", "how-to/resume"))]
)
def test_values_named_in_the_text_can_be_set(name: str) -> None:
    spans = re.findall(r"`'?([\w.]+=[^`'<>]+)'?`", Page(name).prose)
    given = [word for span in spans for word in re.findall(r"(?:\[[^\]]*\]|\S)+", span)]
    words = [word for word in given if re.fullmatch(r"[\w.]+=(\[.*\]|[^|,…]+)", word)]
    chosen = {word.split("=")[0]: word for word in words if not word.startswith(("hydra.", "key="))}
    compose_config(list(chosen.values()))


def test_tests_named_by_validation_exist() -> None:
    named = re.findall(r"`([\w/*]+\.py)`", Page("docs/validation.md").text)
    assert len(named) > 20
    assert [name for name in named if not (list((ROOT / "tests").glob(name)) or (ROOT / name).exists())] == []
