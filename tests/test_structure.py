"""Who may import whom, checked on the source: the rules of the folder layout."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("fedlayers", "metrics", "clients", "strategies")
SOURCES = [
    path for package in (*PACKAGES, "tests", "benchmarks", "launch") for path in sorted((ROOT / package).rglob("*.py"))
]
# What metrics may know of the program: types of data, of rows and of layers, and where randomness comes from.
DATA_TYPES = {f"fedlayers.{name}" for name in ("layers", "records", "schedule", "seeding", "errors", "data.federation")}
# Names of Flower that move between releases; everything else imports flwr.app, flwr.clientapp and flwr.serverapp.
STABLE_FLOWER = {"flwr.app", "flwr.clientapp", "flwr.serverapp", "flwr.serverapp.strategy"}


def imports(path: Path) -> set[str]:
    """Return the dotted names of the modules a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
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


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_check() -> None:
    for package in PACKAGES:
        assert len(files(package)) > 3


@pytest.mark.parametrize("path", files("metrics"), ids=named)
def test_metrics_know_data_types_only(path: Path) -> None:
    assert not tops(path) & {"flwr", "ray", "omegaconf", "clients", "strategies", "pyarrow"}
    assert {name for name in imports(path) if name.startswith("fedlayers")} <= DATA_TYPES
    # measure.py builds what conf/metrics names; metrics themselves know nothing of Hydra.
    if path.name != "measure.py":
        assert "hydra" not in tops(path)


@pytest.mark.parametrize("path", files("clients"), ids=named)
def test_clients_know_no_strategy(path: Path) -> None:
    assert not tops(path) & {"strategies", "ray", "hydra", "omegaconf"}


@pytest.mark.parametrize("path", files("strategies"), ids=named)
def test_strategies_know_no_client(path: Path) -> None:
    assert not tops(path) & {"clients", "ray", "hydra", "omegaconf"}


@pytest.mark.parametrize("path", files("fedlayers"), ids=named)
def test_the_spine_knows_no_algorithm(path: Path) -> None:
    assert not tops(path) & {"clients", "strategies", "tests"}


@pytest.mark.parametrize("path", files("fedlayers"), ids=named)
def test_the_spine_knows_the_measuring_contract_only(path: Path) -> None:
    known = {name for name in imports(path) if name.split(".")[0] == "metrics"}
    # The package itself: figures look for what every metric says about itself.
    assert known <= {"metrics", "metrics.base", "metrics.measure"}


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_moving_names_of_flower_are_in_one_place(path: Path) -> None:
    flower = {name for name in imports(path) if name.split(".")[0] == "flwr"}
    if path != ROOT / "fedlayers" / "flower.py":
        assert flower <= STABLE_FLOWER


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_nothing_imports_torchvision(path: Path) -> None:
    assert not tops(path) & {"torchvision", "torchaudio"}


def test_tests_are_no_package_and_have_unique_names() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
    names = [path.name for path in files("tests")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", [path for package in PACKAGES for path in files(package)], ids=named)
def test_a_module_fits_in_a_head(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300
    assert path.stem not in {"utils", "helpers", "common", "misc"}


@pytest.mark.parametrize("path", [path for package in PACKAGES for path in files(package)], ids=named)
def test_a_function_fits_on_a_screen(path: Path) -> None:
    long = [
        f"{node.name}: {count} lines"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and (count := _statements(node)) > 60
    ]
    assert not long


def _statements(node: ast.FunctionDef) -> int:
    """Return the number of lines of a function below its docstring."""
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    return (node.end_lineno or 0) - first.lineno + 1
