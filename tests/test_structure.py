"""Who may import whom, checked on the source: the rules of the folder layout."""

import ast
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("fedlayers", "metrics", "clients", "strategies")
SOURCES = [
    path for package in (*PACKAGES, "tests", "benchmarks", "launch") for path in sorted((ROOT / package).rglob("*.py"))
]
# What metrics may know of the program: types of data, of rows and of layers, and where randomness comes from.
DATA_TYPES = {f"fedlayers.core.{name}" for name in ("layers", "records", "schedule", "seeding", "errors", "federation")}
# Names of Flower that move between releases; everything else imports flwr.app, flwr.clientapp and flwr.serverapp.
STABLE_FLOWER = {"flwr.app", "flwr.clientapp", "flwr.serverapp", "flwr.serverapp.strategy"}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> set[str]:
    """Return the dotted names of the modules a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            # "from fedlayers import strategy_state" imports a module, too.
            if node.module == "fedlayers":
                found |= {
                    f"fedlayers.{alias.name}"
                    for alias in node.names
                    if (ROOT / "fedlayers" / f"{alias.name}.py").exists()
                }
    return found


def files(package: str) -> list[Path]:
    return [path for path in SOURCES if path.is_relative_to(ROOT / package)]


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def broken_by(paths: Iterable[Path], found: Callable[[Path], Iterable[object]]) -> dict[str, list[object]]:
    """Return what breaks a rule, by file: each file that breaks it is told at once."""
    return {str(path.relative_to(ROOT)): sorted(wrong, key=str) for path in paths if (wrong := list(found(path)))}


def test_there_is_something_to_check() -> None:
    for package in PACKAGES:
        assert len(files(package)) > 3


def test_metrics_know_data_types_only() -> None:
    strange = {"flwr", "ray", "omegaconf", "clients", "strategies", "pyarrow"}

    def found(path: Path) -> set[str]:
        spine = {name for name in imports(path) if name.startswith("fedlayers")}
        # measure.py builds what conf/metrics names; metrics themselves know nothing of Hydra.
        return tops(path) & (strange if path.name == "measure.py" else {*strange, "hydra"}) | spine - DATA_TYPES

    assert broken_by(files("metrics"), found) == {}


def test_clients_know_no_strategy() -> None:
    assert broken_by(files("clients"), lambda path: tops(path) & {"strategies", "ray", "hydra", "omegaconf"}) == {}


def test_strategies_know_no_client() -> None:
    assert broken_by(files("strategies"), lambda path: tops(path) & {"clients", "ray", "hydra", "omegaconf"}) == {}


def test_the_spine_knows_no_algorithm() -> None:
    assert broken_by(files("fedlayers"), lambda path: tops(path) & {"clients", "strategies", "tests"}) == {}


def test_the_spine_knows_the_measuring_contract_only() -> None:
    # The package itself: figures look for what every metric says about itself.
    contract = {"metrics", "metrics.base", "metrics.measure"}

    def found(path: Path) -> set[str]:
        return {name for name in imports(path) if name.split(".")[0] == "metrics"} - contract

    assert broken_by(files("fedlayers"), found) == {}


def test_moving_names_of_flower_are_in_one_place() -> None:
    def found(path: Path) -> set[str]:
        return {name for name in imports(path) if name.split(".")[0] == "flwr"} - STABLE_FLOWER

    adapter = ROOT / "fedlayers" / "flower" / "adapter.py"
    assert broken_by([path for path in SOURCES if path != adapter], found) == {}
    assert found(adapter)


def test_nothing_imports_torchvision() -> None:
    assert broken_by(SOURCES, lambda path: tops(path) & {"torchvision", "torchaudio"}) == {}


def test_tests_are_no_package_and_have_unique_names() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
    names = [path.name for path in files("tests")]
    assert len(names) == len(set(names))


def test_a_module_fits_in_a_head() -> None:
    def found(path: Path) -> list[object]:
        lines = len(path.read_text().splitlines())
        return [lines] * (lines > 300) + [path.stem] * (path.stem in {"utils", "helpers", "common", "misc"})

    assert broken_by([path for package in PACKAGES for path in files(package)], found) == {}


def test_a_function_fits_on_a_screen() -> None:
    def found(path: Path) -> list[str]:
        functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)]
        return [f"{node.name}: {count} lines" for node in functions if (count := _statements(node)) > 60]

    assert broken_by([path for package in PACKAGES for path in files(package)], found) == {}


def _statements(node: ast.FunctionDef) -> int:
    """Return the number of lines of a function below its docstring."""
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    return (node.end_lineno or 0) - first.lineno + 1
