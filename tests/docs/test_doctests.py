"""The examples in docstrings run, and every public function on arrays has one."""

import ast
import doctest
import re
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import fedlayers
import metrics
from tests.support.doc_pages import ROOT

SOURCES = [
    path for package in ("fedlayers", "metrics", "clients", "strategies") for path in (ROOT / package).rglob("*.py")
]
WITH_EXAMPLES = sorted(path for path in SOURCES if ">>> " in path.read_text(encoding="utf-8"))
# What may stand in the annotations of a function on arrays; it takes at least one of the first three.
ARRAYS = {"Array", "Tensor", "np.ndarray"}
PLAIN = {"int", "float", "bool", "str", "None", "Sequence", "Mapping", "torch.Generator", "np.random.Generator"}


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def functions_on_arrays() -> dict[str, str]:
    """Return the docstring of every public function of ``metrics`` that takes arrays and numbers, and draws nothing."""
    found = {}
    for path in sorted(path for path in (ROOT / "metrics").rglob("*.py") if path.name != "figures.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                words = set(
                    re.findall(r"[\w.]+", " ".join(ast.unparse(a.annotation) for a in arguments if a.annotation))
                )
                if words & ARRAYS and words <= ARRAYS | PLAIN:
                    found[f"{dotted(path)}.{node.name}"] = ast.get_docstring(node) or ""
    return found


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=dotted)
def test_examples_give_what_they_say(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(import_module(dotted(path)), optionflags=doctest.ELLIPSIS)
    assert found.attempted and not found.failed, capsys.readouterr().out


def test_every_function_on_arrays_has_an_example() -> None:
    found = functions_on_arrays()
    assert len(found) > 80
    assert [name for name, text in found.items() if ">>> " not in text] == []


@pytest.mark.parametrize("package", [metrics, fedlayers], ids=lambda package: package.__name__)
def test_every_public_function_has_an_example(package: ModuleType) -> None:
    public = {name: getattr(package, name) for name in package.__all__}
    functions = {name: thing for name, thing in public.items() if isinstance(thing, FunctionType)}
    assert functions
    assert [name for name, function in functions.items() if ">>> " not in (function.__doc__ or "")] == []
