"""CONTRIBUTING's recipes, followed to the letter: new files only, whose tests, style and contract hold."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', TEXT, re.DOTALL))
# What a recipe needs: everything that is imported, composed or tested with.
PARTS = ("fedlayers", "metrics", "clients", "strategies", "conf", "tests", "pyproject.toml")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project in which the recipes were followed."""
    folder = tmp_path_factory.mktemp("recipes")
    for part in PARTS:
        if (ROOT / part).is_dir():
            # With what Python has compiled, which takes as long as the tests themselves.
            shutil.copytree(ROOT / part, folder / part)
        else:
            shutil.copy(ROOT / part, folder / part)
    for name, text in FILES.items():
        assert not (folder / name).exists(), f"{name} is in the project already"
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def run(checkout: Path, *words: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_there_is_a_recipe_for_every_kind() -> None:
    kinds = [name.split("/")[1] for name in FILES if name.startswith("conf/")]
    assert kinds == ["metrics", "similarity", "objective", "algorithm", "dataset", "model"]
    assert [name for name in FILES if name.startswith("metrics/distances/measures/")]
    assert sum(name.startswith("tests/") for name in FILES) == 7


@pytest.mark.slow
def test_what_the_recipes_add_passes_its_tests_and_keeps_to_the_contracts(checkout: Path) -> None:
    tests = [name for name in FILES if name.startswith("tests/")]
    contracts = ["tests/config/test_contract_yaml.py", "tests/metrics/distances/test_distances_contract.py"]
    added = [Path(name).stem for name in FILES if name.startswith(("conf/", "tests/"))]
    chosen = " or ".join([*added, "max_dst"])
    run(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, *contracts, "-k", chosen)


def test_what_the_recipes_add_is_in_the_house_style(checkout: Path) -> None:
    run(checkout, "-m", "ruff", "check", "--no-cache", *[name for name in FILES if name.endswith(".py")])
    run(checkout, "-m", "ruff", "format", "--no-cache", "--diff", *[name for name in FILES if name.endswith(".py")])
