"""Runs and sweeps from Python, and the names that are public."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedlayers
import metrics
import metrics.distances
from fedlayers.commands.in_python import _words
from fedlayers.config.compose import compose_config
from fedlayers.core.errors import UserError

SMALL = {
    "rounds": 1, "clients": 3, "engine": "local", "figures": False, "progress": "none", "partition": "iid",
    "metrics": ["evaluation"], "model": {"hidden": [4]}, "examples_per_client": 40,
}  # fmt: skip


def words(**settings: Any) -> tuple[list[str], bool]:
    return _words([], settings)


@pytest.mark.parametrize(
    ("settings", "expected", "swept"),
    [
        ({"rounds": 2}, ["rounds=2"], False),
        ({"seed": [0, 1, 2]}, ["seed=0,1,2"], True),
        ({"seed": range(2)}, ["seed=0,1"], True),
        ({"seed": np.int64(3), "fraction": np.float32(0.5)}, ["seed=3", "fraction=0.5"], False),
        ({"training": {"lr": [0.1, 1e-20]}}, ["training.lr=0.1,1e-20"], True),
        ({"training.lr": 0.1}, ["training.lr=0.1"], False),
        ({"figures": False, "init": None}, ["figures=false", "init=null"], False),
        ({"metrics": ["evaluation", "weights"]}, ["metrics=[evaluation,weights]"], False),
        ({"metrics": [["evaluation"], ["weights"]]}, ["metrics=[evaluation],[weights]"], True),
        ({"model": {"hidden": [8, 4]}}, ["model.hidden=[8,4]"], False),
        ({"training": {"augment": []}}, ["training.augment=[]"], False),
        ({"dataset": "FMNIST", "study": "a, 'b'"}, ["dataset=FMNIST", r"study='a, \'b\''"], False),
        ({"study": "null"}, ["study='null'"], False),
        ({"data_dir": Path("a b/c")}, ["data_dir='a b/c'"], False),
        ({"algorithm": ["fedavg", "fedprox"]}, ["algorithm=fedavg,fedprox"], True),
    ],
)
def test_keyword_arguments_are_words(settings: dict[str, Any], expected: list[str], swept: bool) -> None:
    assert words(**settings) == (expected, swept)


TEXTS = ["o'brien", "q (2)", 'a"b', "{a}", "[x]", "a b", "${x}", "a,b", "1e5", "ä", "x: y", "null", "true", "a;b", "#a"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_means_itself(text: str) -> None:
    found, swept = _words([], {"results_dir": f"/nowhere/{text}", "study": text, "metrics": ["evaluation"]})
    config = compose_config(found)
    assert (config.results_dir, config.study, swept) == (f"/nowhere/{text}", text, False)


def test_lists_of_the_options_chosen_are_known() -> None:
    assert _words(["metrics=[distances]"], {"metrics.distances.names": ["l2_dst"]})[1] is False


def test_a_run_and_a_sweep(tmp_path: Path) -> None:
    one = fedlayers.run(**SMALL, results_dir=tmp_path)
    assert not one.several and len(one.records) > 50
    rest = {key: value for key, value in SMALL.items() if key not in ("rounds", "clients", "figures")}
    same = fedlayers.run(["rounds=1", "clients=3", "figures=false"], **rest, results_dir=tmp_path)
    assert same.path == one.path
    both = fedlayers.run(**SMALL, results_dir=tmp_path, seed=[0, 1])
    assert both.records["seed"].unique().tolist() == [0, 1]
    assert both.records[both.records["seed"] == 0]["value"].tolist() == pytest.approx(
        one.records["value"].tolist(), nan_ok=True
    )
    assert (tmp_path / "main" / "study.parquet").is_file()
    swept = fedlayers.run(["-m", "rounds=1", "clients=3", "figures=false", "seed=1,0"], **rest, results_dir=tmp_path)
    assert {run.name for run in swept.runs} == {run.name for run in both.runs}


def test_a_sweep_in_which_a_run_fails_says_so_and_keeps_the_others(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"1 of 2 runs are not complete \(.*\); the others are there: fedlayers.read"):
        fedlayers.run(**SMALL, results_dir=tmp_path, init=[None, "nowhere"])
    assert len(list(tmp_path.glob("main/*/done.json"))) == 1


@pytest.mark.parametrize("overrides", ["rounds=2", b"rounds=2", {"rounds": 2}, 5, None])
def test_what_is_no_list_of_words_is_refused(overrides: Any) -> None:
    with pytest.raises(
        UserError, match=r"needs a list of words or keyword arguments, such as fedlayers.run\(\["
    ) as told:
        fedlayers.run(overrides)
    assert ("write ** in front" in str(told.value)) == isinstance(overrides, dict)


@pytest.mark.parametrize(
    ("overrides", "settings", "message"),
    [
        ([3], {}, r"needs words, such as .*, got 3 among them"),
        (["--help"], {}, r"takes key=value words and -m, got --help"),
        ([], {"round": 2}, r"no such key 'round'; did you mean rounds\?"),
        (
            [],
            {"rounds": object()},
            r"rounds must be a text, a number, true, false, None or a list of those, got <object",
        ),
        ([], {"rounds": -1}, r"rounds must be .*, got -1"),
    ],
)
def test_mistakes_are_told_in_a_sentence(overrides: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fedlayers.run(overrides, **settings)


def test_public_names_are_shown_and_no_others() -> None:
    assert dir(fedlayers) == [
        "Facts", "Pair", "Record", "Resource", "Run", "Spectrum", "Tables", "UserError", "Writer", "__version__",
        "comparison", "open", "read", "run",
    ]  # fmt: skip
    for package in (fedlayers, metrics, metrics.distances):
        for name in package.__all__:
            assert getattr(package, name) is not None
        with pytest.raises(AttributeError, match="has no attribute 'nothing'; it has "):
            package.nothing
    assert set(metrics.__all__) == set(dir(metrics))
    assert set(metrics.distances.__all__) == {
        "ClientMatrixMetric", "ClientMetric", "LayerMatrixMetric", "LayerMetric", "MetricSet", "ModelMatrixMetric",
        "ModelMetric", "PreprocessingTree",
    }  # fmt: skip


def test_importing_is_light_and_types_are_shipped() -> None:
    code = (
        "import sys, fedlayers, metrics, metrics.distances; print([n for n in ('torch', 'pandas') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    root = Path(fedlayers.__file__).parent.parent
    assert all((root / name / "py.typed").is_file() for name in ("fedlayers", "metrics", "clients", "strategies"))
