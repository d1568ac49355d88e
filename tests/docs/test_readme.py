"""The README: every command composes, every file it shows works, and its snippets run."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedlayers.commands.main import main
from fedlayers.config.arguments import read_arguments
from fedlayers.config.compose import check_plugins, compose_config
from fedlayers.config.settings import Config
from fedlayers.studies.study import compose_sweep

TEXT = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^(?:python -m fedlayers|fedlayers|make run)(?:$| .*)")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


def lines() -> list[str]:
    return "".join(blocks("bash")).replace("\\\n", " ").splitlines()


COMMANDS = [line for line in lines() if COMMAND.match(line)]
SNIPPETS = blocks("python")


def words_of(command: str) -> list[str]:
    """Return the arguments of a command, those of ``make run ARGS="..."`` included."""
    words = shlex.split(command)
    if words[0] == "make":
        return shlex.split(words[2].removeprefix("ARGS=")) if len(words) > 2 else []
    return words[1:] if words[0] == "fedlayers" else words[3:]


def configs_of(command: str) -> list[Config]:
    arguments = read_arguments(words_of(command))
    if "--multirun" in arguments.flags:
        return list(compose_sweep(arguments.overrides).configs)
    return [compose_config(arguments.overrides)]


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the files that the README shows, as a reader would have made them."""
    for block in blocks("python") + blocks("yaml"):
        if found := re.match(r"# (\S+\.(?:py|yaml))\n", block):
            file = tmp_path / found[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path


def test_there_is_something_to_test() -> None:
    assert len(COMMANDS) > 10 and len(SNIPPETS) > 3
    others = {line.split(" ", 3)[:3][-1] for line in lines() if not COMMAND.match(line)}
    assert others <= {"test", "fedlayers.aggregate", "fedlayers.plot", "fedlayers.report", "fedlayers.status"}


@pytest.mark.parametrize("command", COMMANDS)
def test_command_composes_and_its_plugins_exist(command: str, reader: Path) -> None:
    for config in configs_of(command):
        check_plugins(config)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippet_compiles(snippet: str) -> None:
    compile(snippet, "README.md", "exec")


def test_values_named_in_the_text_can_be_set() -> None:
    spans = re.findall(r"`'?([\w.]+=[^`'<>]+)'?`", re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL))
    words = [word for span in spans for word in span.split() if re.fullmatch(r"[\w.]+=(\[.*\]|[^|,]+)", word)]
    chosen = {word.split("=")[0]: word for word in words if not word.startswith(("hydra.", "key="))}
    assert len(chosen) > 10
    compose_config(list(chosen.values()))


def test_own_network_and_metric_run(reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = [command for command in COMMANDS if "mine.LargestWeight" in command]
    quick = ["rounds=1", "clients=2", "metrics=[weights]", "figures=false", "progress=none"]
    with pytest.raises(SystemExit) as left:
        main([*words_of(command), *quick])
    assert left.value.code == 0, capsys.readouterr().err
    assert next(reader.glob("results/main/*/done.json"))


def test_reading_and_last_snippet_run(reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = next(command for command in COMMANDS if "study=drift" in command and "dataset" not in command)
    quick = [
        "records_per_client=30",
        "clients=3",
        "metrics=[weights]",
        "figures=false",
        "progress=none",
        "engine=local",
    ]
    with pytest.raises(SystemExit) as left:
        main([*words_of(command), *quick])
    assert left.value.code == 0
    capsys.readouterr()
    exec(compile(SNIPPETS[-1], "README.md", "exec"), {})
    table = capsys.readouterr().out
    assert re.search(r"digits +0 +fc1 +0\.\d+", table) and "relative" in table


def test_python_interface_runs(reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (snippet,) = [snippet for snippet in SNIPPETS if "fedlayers.run(" in snippet]
    exec(compile(snippet, "README.md", "exec"), {})
    reading = next(snippet for snippet in SNIPPETS if "fedlayers.read(" in snippet)
    exec(compile(reading.replace("results/main", "results/python"), "README.md", "exec"), {})
    assert "Score(value=" in capsys.readouterr().out
