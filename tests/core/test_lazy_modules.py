"""What takes the place of a module until it is used."""

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

from fedlayers.core.lazy_modules import defer, on_first_use


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make a package that imports its costly part, and return its name."""
    (tmp_path / "fair").mkdir()
    (tmp_path / "fair" / "__init__.py").write_text("from fair import costly\n")
    (tmp_path / "fair" / "costly").mkdir()
    (tmp_path / "fair" / "costly" / "__init__.py").write_text("value = 3\n")
    (tmp_path / "fair" / "costly" / "part.py").write_text("other = 4\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "fair"
    for name in [name for name in sys.modules if name.split(".")[0] == "fair"]:
        del sys.modules[name]


def loaded() -> bool:
    return "value" in vars(sys.modules["fair.costly"])


def test_it_is_imported_when_something_of_it_is_used(package: str) -> None:
    defer("fair.costly")
    fair = __import__(package)
    assert not loaded()
    assert fair.costly.value == 3
    assert loaded()


def test_its_parts_can_be_imported(package: str) -> None:
    defer("fair.costly")
    from fair.costly.part import other  # type: ignore[import-not-found]

    assert other == 4 and loaded()


def test_looking_through_all_modules_does_not_use_it(package: str) -> None:
    defer("fair.costly")
    assert not hasattr(sys.modules["fair.costly"], "__file__")
    with pytest.raises(AttributeError, match="__wrapped__"):
        sys.modules["fair.costly"].__wrapped__
    assert not loaded()


def test_a_module_that_is_there_stays(package: str) -> None:
    __import__(package)
    defer("fair.costly")
    assert loaded()


def test_partitioners_come_without_figures() -> None:
    from flwr_datasets.visualization import plot_label_distributions

    assert callable(plot_label_distributions)


def test_public_names_are_imported_on_first_use() -> None:
    find = on_first_use("collections", {"abc_mapping": "abc", "Mapping": "abc"})
    assert find("Mapping") is Mapping
    with pytest.raises(
        AttributeError, match=r"module 'collections' has no attribute 'Set'; it has Mapping, abc_mapping"
    ):
        find("Set")


@pytest.mark.parametrize("name", [
    "fedlayers", "metrics", "metrics.class_performance", "metrics.distances", "metrics.resource_usage",
    "metrics.training_dynamics",
])  # fmt: skip
def test_no_public_name_is_a_modules_of_the_package(name: str) -> None:
    """Importing that module would put it in the place of what has the name."""
    package = import_module(name)
    assert not set(package.__all__) & {module.name for module in iter_modules(package.__path__)}
