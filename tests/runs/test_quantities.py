"""A run's folder says how its values are to be read; figures, report and tables look there and nowhere else."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import fedlayers
from fedlayers.core.errors import UserError
from fedlayers.core.quantities import Facts, Quantities
from fedlayers.execution.execute import execute
from fedlayers.figures.available import figures_of
from fedlayers.measuring.build import build_metrics
from fedlayers.report.page import write_report
from fedlayers.runs.damage import DamagedRunWarning
from fedlayers.runs.quantities import FILE, ClashWarning, load_quantities, save_quantities
from fedlayers.studies.aggregate import aggregate
from tests.conftest import composed
from tests.support.fake_run import write_run
from tests.support.quantities import KNOWN
from tests.support.saved_pages import SavedPage

OWN = "tests.support.own_quantities"
WORDS = [
    "metrics=[evaluation,distances]",
    f"+metrics.size._target_={OWN}.Size",
    "metrics.distances.names=[layers_dst,l2_dst]",
    f"+metrics.distances.own.layers_dst={{_target_: {OWN}.Layers, name: layers_dst}}",
    f"algorithm.strategy._target_={OWN}.Telling",
    "metrics.evaluation.rounds=[last]",
]


@pytest.fixture(scope="module")
def run(quick_run: Callable[..., Path]) -> Path:
    return quick_run(*WORDS, "rounds=1", "engine=local", "clients=3")


def test_what_a_run_measures_is_stated_in_its_folder(run: Path) -> None:
    tables = fedlayers.read(run)
    size = tables.quantities["layer_size"]
    assert (size.unit, size.limits, size.reference) == ("kB", (0.0, 900.0), "this text")
    assert tables.quantities["loss"].unit == tables.quantities["training_loss"].unit == "nat"
    assert tables.quantities["loss"].limits == (0.0, math.inf)
    own = tables.quantities["layers_dst"]
    assert (own.unit, own.limits, own.symmetric) == ("layer", (0.0, 100.0), True)
    assert tables.quantities["patience"].unit == "round"
    measured = {name for table in (tables.records, tables.pairs, tables.spectra) for name in table["metric"].unique()}
    assert "layers_dst" in measured and "patience" in measured and measured <= tables.quantities.keys()
    assert (tables.pairs.query("metric == 'layers_dst'")["value"] == 1).all()
    # Nothing of what was not chosen, and JSON that any program reads.
    assert "hessian_trace" not in tables.quantities
    plain = json.loads((run / FILE).read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert plain["version"] == 1 and {"name", "unit", "low", "high"} <= plain["quantities"][0].keys()


def test_an_own_quantity_has_its_unit_in_figures_and_report(run: Path, tmp_path: Path) -> None:
    drawings = {drawing.name: drawing.make for drawing in figures_of(run)}
    profile = drawings["layer_profile_layer_size"]()
    assert profile is not None and profile.axes[0].get_ylabel() == "layer size (kB)"
    models = drawings["models_layers_dst"]()
    assert models is not None and "layers distance (layer)" in models.axes[-1].get_ylabel()
    text = json.dumps(SavedPage(write_report(run, tmp_path / "report.html")).answers)
    assert "layer size (kB)" in text and "layers distance (layer)" in text


def test_a_lost_or_damaged_file_is_told_and_written_anew(run: Path, quick_run: Callable[..., Path]) -> None:
    before = (run / FILE).read_bytes()
    (run / FILE).write_bytes(before.replace(b"kB", b"MB"))
    with pytest.raises(UserError, match=r"quantities.json has another content than was written: restore it .* anew"):
        _ = fedlayers.read(run).quantities
    (run / FILE).unlink()
    with pytest.raises(UserError, match=r"quantities.json is missing: restore it from a copy, or start the same comm"):
        figures_of(run)
    words = [*WORDS, "rounds=1", "engine=local", "clients=3"]
    config = replace(composed(*quick_words(words)), results_dir=str(run.parent.parent))
    assert execute(config) == run
    assert (run / FILE).read_bytes() == before


def quick_words(words: list[str]) -> list[str]:
    from tests.conftest import QUICK

    chosen = {word.split("=")[0].lstrip("+") for word in words}
    return [*(word for word in QUICK if word.split("=")[0] not in chosen), *words]


def test_a_folder_without_facts_is_drawn_without_units(tmp_path: Path) -> None:
    run = write_run(tmp_path / "s", overrides=(("files", {}),))
    (run / FILE).unlink()
    assert fedlayers.read(run).quantities == {}
    drawn = [figure.make() for figure in figures_of(run) if figure.metric == "update_norm"]
    labels = {label for figure in drawn if figure for axes in figure.axes if (label := axes.get_ylabel())}
    assert len(drawn) > 1 and labels == {"update norm"}
    curves = fedlayers.read(run).plot("learning_curves")
    assert [axes.get_ylabel() for axes in curves.axes] == ["accuracy", "loss"]
    assert write_report(run).is_file()
    assert aggregate(tmp_path / "s").table is not None
    assert fedlayers.read(tmp_path / "s" / "study.parquet").quantities == {}


def test_a_study_has_what_its_runs_state_and_where_they_differ_what_holds_for_all(tmp_path: Path) -> None:
    study = tmp_path / "s"
    first, second = write_run(study, seed=0), write_run(study, seed=1)
    assert fedlayers.read(study).quantities == KNOWN
    other = {**KNOWN, "norm": replace(KNOWN["norm"], unit="m"), "new": Facts("new", "s", 0.0, 1.0, "lower", "")}
    state(second, Quantities(other))
    told = (
        f"{second.name} states other facts of norm than {first.name} .*: together they are read as no unit or m, 0 to"
    )
    with pytest.warns(ClashWarning, match=told):
        found = fedlayers.read(study).quantities
    assert found["norm"] == replace(KNOWN["norm"], unit="no unit or m") and found["new"].unit == "s"
    with pytest.warns(ClashWarning, match=told):
        report = aggregate(study)
    assert report.table is not None
    for table in ("study", "study_pairs"):
        assert fedlayers.read(study / f"{table}.parquet").quantities == found


def test_all_clashes_of_a_study_are_one_sentence(tmp_path: Path) -> None:
    first, second, third = (write_run(tmp_path / "s", seed=seed) for seed in range(3))
    for run in (second, third):
        state(run, Quantities({name: replace(KNOWN[name], unit="m") for name in ("norm", "loss")}))
    told = rf"{second.name} \(and 1 more\) states other facts of (norm|loss) \(and 1 more\) than {first.name} "
    with pytest.warns(ClashWarning, match=told) as warned:
        assert fedlayers.read(tmp_path / "s").quantities["norm"].unit == "no unit or m"
    assert len(warned) == 1


def test_where_a_text_lies_is_no_clash(tmp_path: Path) -> None:
    study = tmp_path / "s"
    write_run(study, seed=0)
    state(write_run(study, seed=1), Quantities.of(replace(facts, reference="elsewhere") for facts in KNOWN.values()))
    assert fedlayers.read(study).quantities == KNOWN


def state(run: Path, quantities: Quantities) -> None:
    """Let a made-up run state something else."""
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    facts["files"] = {FILE: save_quantities(run, quantities.values())}
    (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")


def test_a_run_with_a_damaged_file_does_not_take_the_study_down(tmp_path: Path) -> None:
    study = tmp_path / "s"
    run = write_run(study, seed=0)
    write_run(study, seed=1)
    (run / FILE).write_text("{}")
    with pytest.warns(DamagedRunWarning, match="quantities.json has"):
        assert figures_of(study)
    assert list(aggregate(study).failed) == [run.name]
    (run / FILE).write_text("no json")
    (run / "run.json").write_text(json.dumps({"status": "complete"}))
    with pytest.raises(UserError, match=r"quantities.json cannot be read: restore it"):
        load_quantities(run)


def test_a_table_of_another_program_states_nothing(tmp_path: Path) -> None:
    write_run(tmp_path / "s")
    table = aggregate(tmp_path / "s").table
    assert table is not None
    pq.write_table(pq.read_table(table).replace_schema_metadata(None), table)
    assert fedlayers.read(table).quantities == {}


def test_facts_of_a_later_version_are_told(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"version": 2, "quantities": []}')
    with pytest.raises(UserError, match=r"version 2, and this program reads up to 1: update fedlayers"):
        load_quantities(tmp_path)
    entry = {**vars(KNOWN["loss"]), "high": None, "colour": "red"}
    (tmp_path / FILE).write_text(json.dumps({"version": 1, "quantities": [entry]}))
    assert load_quantities(tmp_path) == {"loss": KNOWN["loss"]}


def test_facts_are_checked_where_they_are_stated() -> None:
    with pytest.raises(ValueError, match=r"direction of x must be one of higher, lower, neutral, got 'up'"):
        Facts("x", "1", 0.0, 1.0, "up", "")
    with pytest.raises(ValueError, match=r"low of x must be at most high, 0.0, got 1.0"):
        Facts("x", "1", 1.0, 0.0, "lower", "")
    with pytest.raises(UserError, match=r"metrics.m must state a tuple of metrics.base.Facts in its facts, got Facts"):
        build_metrics({"m": {"_target_": f"{OWN}.Untold"}})
