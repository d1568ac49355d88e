"""Who may import whom, checked on the source: the rules of the folder layout."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("fedlayers", "metrics", "clients", "strategies")
SOURCES = [
    path for package in (*PACKAGES, "tests", "benchmarks", "launch") for path in sorted((ROOT / package).rglob("*.py"))
]
# Each room of the house, and those that it may import: only such as stand above it.
ROOMS: dict[str, set[str]] = {
    "core": set(),
    "config": {"core"},
    "objectives": {"core", "config"},
    "metrics": {"core", "objectives"},
    "data": {"core", "config"},
    "models": {"core", "config"},
    "flower": {"core", "config", "objectives", "metrics"},
    "clients": {"core", "objectives", "metrics", "config", "flower"},
    "strategies": {"core", "metrics", "flower"},
    "runs": {"core", "config", "flower"},
    "statistics": {"core"},
    "views": {"core", "runs", "statistics"},
    "figures": {"core", "metrics", "runs", "statistics", "views"},
    "charts": {"core", "runs", "statistics", "views"},
    "report": {"core", "runs", "statistics", "views", "figures", "charts"},
    "engines": {"core", "config", "flower", "runs"},
    "measuring": {"core", "config", "objectives", "metrics", "data", "models", "flower", "runs"},
}
ROOMS["opening"] = {"core", "config", "metrics", "data", "models", "flower", "runs"}
ROOMS["heterogeneity"] = {*ROOMS["opening"], "opening"}
ROOMS["export"] = {*ROOMS["heterogeneity"], "heterogeneity", "statistics", "views", "figures", "charts"}
ROOMS["explore"] = {*ROOMS["heterogeneity"], "heterogeneity", "statistics", "views", "charts"}
ROOMS["execution"] = {*ROOMS} - {"clients", "strategies"}
ROOMS["studies"] = {*ROOMS} - {"clients", "strategies"}
ROOMS["commands"] = {*ROOMS} - {"clients", "strategies"}
# The package itself and what ``python -m`` starts: they hand over to commands.
ROOMS["fedlayers"] = {"core", "runs", "commands"}
# Names of Flower that move between releases; everything else imports flwr.app, flwr.clientapp and flwr.serverapp.
STABLE_FLOWER = {"flwr.app", "flwr.clientapp", "flwr.serverapp", "flwr.serverapp.strategy"}


@dataclass(frozen=True)
class Source:
    """What the rules ask about a file; its tree, which has ten times as much in it, is let go."""

    first_line: str
    classes: list[tuple[str, list[str]]]  # names of those at its top, with those of what they build on
    lengths: dict[str, int] = field(default_factory=dict)  # function -> lines below its docstring
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)  # at its top or inside functions
    for_types: list[ast.Import | ast.ImportFrom] = field(default_factory=list)  # those for type checkers only


@cache
def source(path: Path) -> Source:
    """Return what is asked about a file, which is parsed once for all rules."""
    tree = ast.parse(path.read_text())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    named = [(node.name, [ast.unparse(base).rpartition(".")[2] for base in node.bases]) for node in classes]
    found = Source((ast.get_docstring(tree) or "").partition("\n")[0], named)
    _look(tree, found, for_types=False)
    return found


def _look(node: ast.AST, found: Source, *, for_types: bool) -> None:
    """Note imports and functions among the statements below a node; what statements are made of has none."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        assert isinstance(node, ast.Import) or (node.level == 0 and node.module), "relative import"
        (found.for_types if for_types else found.imports).append(node)
    if isinstance(node, ast.FunctionDef):
        found.lengths[node.name] = max(found.lengths.get(node.name, 0), _statements(node))
    guards = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    for below in getattr(node, "body", []):
        _look(below, found, for_types=for_types or guards)
    for part in ("orelse", "handlers", "finalbody", "cases"):
        for below in getattr(node, part, []):
            _look(below, found, for_types=for_types)


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module(path): path for path in SOURCES}


@cache
def imports(path: Path) -> set[str]:
    """Return the dotted names of the modules a file imports, at its top or inside functions."""
    return _names([*source(path).imports, *source(path).for_types])


@cache
def imports_at_once(path: Path) -> set[str]:
    """Return those of our modules that a file needs when it is imported or run; not those for type checkers only."""
    return _names(source(path).imports) & MODULES.keys()


def _names(nodes: Iterable[ast.Import | ast.ImportFrom]) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            # "from fedlayers.runs import folder" imports a module, too.
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= full & MODULES.keys() or {str(node.module)}
    return found


def room_of(name: str) -> str:
    """Return the room of one of our modules."""
    first, *rest = name.split(".")
    return rest[0] if first == "fedlayers" and rest and rest[0] in ROOMS else first


def files(package: str) -> list[Path]:
    return [path for path in SOURCES if path.is_relative_to(ROOT / package)]


def ours() -> Iterator[Path]:
    for package in PACKAGES:
        yield from files(package)


def naming(*words: str) -> list[Path]:
    """Return the files in which a word stands, or a relative import: only they can break a rule about it."""
    return [path for path in SOURCES if any(word in path.read_text() for word in (*words, "from ."))]


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def broken_by(paths: Iterable[Path], found: Callable[[Path], Iterable[object]]) -> dict[str, list[object]]:
    """Return what breaks a rule, by file: each file that breaks it is told at once."""
    return {str(path.relative_to(ROOT)): sorted(wrong, key=str) for path in paths if (wrong := list(found(path)))}


def test_there_is_something_to_check() -> None:
    for package in PACKAGES:
        assert len(files(package)) > 3
    assert {room_of(_module(path)) for path in ours()} == ROOMS.keys()


def test_arrows_between_rooms_point_down() -> None:
    standing: set[str] = set()
    for room, allowed in ROOMS.items():
        assert allowed <= standing or room == "metrics", room
        standing.add(room)

    def found(path: Path) -> set[str]:
        room = room_of(_module(path))
        # What __main__ starts is a command.
        if path.name == "__main__.py":
            return set()
        known = {name for name in imports(path) if name.split(".")[0] in PACKAGES}
        return {name for name in known if room_of(name) not in {room, *ROOMS[room]}}

    assert broken_by(ours(), found) == {}


def test_no_circle_between_files() -> None:
    _assert_without_circle({_module(path): imports_at_once(path) - {_module(path)} for path in ours()})


def test_no_circle_between_folders() -> None:
    """Between folders that stand side by side; a folder and what is inside it are one."""
    folders = {path.parent for path in ours()}
    # Folder -> those beside it of which it imports. The packages are rooms, whose arrows another test follows.
    graphs: dict[Path, dict[str, set[str]]] = {}
    for path in (path for path in ours() if path.name != "__main__.py"):
        for other in (MODULES[name] for name in imports_at_once(path)):
            shared = next(parent for parent in path.parents if other.is_relative_to(parent))
            pair = [shared / one.relative_to(shared).parts[0] for one in (path, other)]
            if shared != ROOT and {*pair} <= folders:
                here, beside = (str(one.relative_to(ROOT)) for one in pair)
                graphs.setdefault(shared, {}).setdefault(here, set()).add(beside)
    assert len(graphs) > 5
    for graph in graphs.values():
        _assert_without_circle(graph)


def _assert_without_circle(graph: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle: {error.args[1]}") from None


def test_a_folder_answers_one_question() -> None:
    assert len(list((ROOT / "fedlayers").glob("*.*"))) <= 6
    folders = sorted({path.parent for path in ours()})
    crowded = {str(folder): count for folder in folders if (count := len(list(folder.glob("*.py")))) > 21}
    assert crowded == {}

    def found(path: Path) -> list[str]:
        first = source(path).first_line
        return [] if first.endswith("?") else [first]

    inits = [path for path in files("fedlayers") if path.name == "__init__.py" and path.parent.name != "fedlayers"]
    assert broken_by(inits, found) == {}


def test_metrics_bring_no_framework() -> None:
    frameworks = {"flwr", "hydra", "omegaconf", "ray", "matplotlib"}
    names = [name for name in MODULES if name.split(".")[0] == "metrics"]
    code = f"""
import importlib, sys
for name in {names}:
    importlib.import_module(name)
print(sorted({{name.partition(".")[0] for name in sys.modules}} & {frameworks}))
# Half a second and more, which every run and each of its workers would spend.
import torch
from metrics.resource_usage.operations import operations_of
operations_of(lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))(torch.zeros(3, 2, 2)))
print(sorted({{"torch._dynamo", "scipy.stats"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n[]\n"


def test_plug_ins_know_no_framework_but_flower() -> None:
    strange = {"ray", "hydra", "omegaconf", "matplotlib"}
    # What trackers of a loop of one's own draw is drawn with what one file imports, when something is drawn.
    drawing = ROOT / "metrics" / "tracking" / "drawing.py"
    plug_ins = [path for package in ("metrics", "clients", "strategies") for path in files(package) if path != drawing]
    assert broken_by(plug_ins, lambda path: tops(path) & strange) == {}
    assert tops(drawing) & strange == {"matplotlib"}
    assert broken_by(files("metrics"), lambda path: tops(path) & {"flwr", "pyarrow"}) == {}


def test_views_draw_nothing() -> None:
    quiet = [path for room in ("core", "runs", "statistics", "views") for path in files(f"fedlayers/{room}")]
    quiet = [path for path in quiet if path.name != "tables.py"]
    assert broken_by(quiet, lambda path: tops(path) & {"matplotlib"}) == {}


def test_core_stands_by_itself() -> None:
    assert broken_by(files("fedlayers/core"), lambda path: tops(path) & {"flwr", "hydra", "omegaconf", "ray"}) == {}


def test_moving_names_of_flower_are_in_one_place() -> None:
    def found(path: Path) -> set[str]:
        return {name for name in imports(path) if name.split(".")[0] == "flwr"} - STABLE_FLOWER

    adapter = ROOT / "fedlayers" / "flower" / "adapter.py"
    assert broken_by([path for path in naming("flwr") if path != adapter], found) == {}
    assert found(adapter)


def test_plug_ins_are_built_one_way() -> None:
    """Who builds from a ``_target_``, reads signatures and guesses at spellings: one module each."""
    homes = {
        "hydra.utils": "fedlayers/config/building.py",
        "inspect.signature": "fedlayers/config/signatures.py",
        "difflib": "fedlayers/core/spelling.py",
        "did you mean": "fedlayers/core/spelling.py",
    }
    # What takes arrays reads the signature of a function of its own, not of a plug-in.
    others = [path for path in ours() if path != ROOT / "metrics" / "array_arguments.py"]
    found = {word: {str(path.relative_to(ROOT)) for path in others if word in path.read_text()} for word in homes}
    assert found == {word: {home} for word, home in homes.items()}


def test_nothing_imports_torchvision() -> None:
    assert broken_by(naming("torchvision", "torchaudio"), lambda path: tops(path) & {"torchvision", "torchaudio"}) == {}


def test_tests_are_no_package_and_have_unique_names() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
    names = [path.name for path in files("tests") if path.name != "conftest.py"]
    assert len(names) == len(set(names))


def test_every_class_has_a_name_of_its_own() -> None:
    """One word, one meaning: two ideas of one name would be told apart by their import only."""
    places: dict[str, list[str]] = {}
    for path in ours():
        for name, bases in source(path).classes:
            # A class that builds on one of its name is the same idea with more to it.
            if not name.startswith("_") and name not in bases:
                places.setdefault(name, []).append(_module(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_a_module_fits_in_a_head() -> None:
    def found(path: Path) -> list[object]:
        lines = len(path.read_text().splitlines())
        return [lines] * (lines > 300) + [path.stem] * (path.stem in {"utils", "helpers", "common", "misc"})

    assert broken_by([path for package in PACKAGES for path in files(package)], found) == {}


def test_a_function_fits_on_a_screen() -> None:
    def found(path: Path) -> list[str]:
        return [f"{name}: {count} lines" for name, count in source(path).lengths.items() if count > 60]

    assert broken_by([path for package in PACKAGES for path in files(package)], found) == {}


def _statements(node: ast.FunctionDef) -> int:
    """Return the number of lines of a function below its docstring."""
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    return (node.end_lineno or 0) - first.lineno + 1
