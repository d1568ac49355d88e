"""What TensorBoard, Weights & Biases and MLflow hold of a run is what its tables hold, each round once."""

import importlib.util
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedlayers
from fedlayers.commands.export import main
from fedlayers.core.errors import UserError
from fedlayers.execution.trackers import live_tracking
from fedlayers.execution.trackers.live_tracking import LiveTracking
from fedlayers.export.trackers import mlflow_run, tensorboard_files
from fedlayers.export.trackers.mlflow_run import MLflow
from fedlayers.export.trackers.outlet import Outlet, Sink, outlets, settings_of
from fedlayers.export.trackers.tensorboard_files import TensorBoard
from fedlayers.export.trackers.values import RoundValues, _put, values_of
from fedlayers.export.trackers.wandb_run import WeightsAndBiases
from metrics import MetricsManager
from tests.support import wandb_reader
from tests.support.tracked_training import TwoHeads, answers, step

ALL = "tracking=[tensorboard,wandb,mlflow]"
WORDS = ("engine=local", "metrics=[evaluation,similarity]", "snapshots.rounds=[all]", "probe.size=40")


def library(name: str) -> Any:
    """Return an optional library; in CI all are there."""
    return __import__(name) if os.environ.get("FEDLAYERS_CI") else pytest.importorskip(name)


def event_files(folder: Path) -> Any:
    library("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    everything = dict.fromkeys(("scalars", "histograms", "images", "tensors"), 0)
    read = EventAccumulator(str(folder), size_guidance=everything)
    read.Reload()
    return read


def in_tensorboard(folder: Path) -> list[tuple[str, int, float]]:
    """Return name, step and value of every scalar, sorted."""
    read = event_files(folder)
    every = [(tag, one.step, one.value) for tag in read.Tags()["scalars"] for one in read.Scalars(tag)]
    return sorted(row for row in every if not row[0].startswith("_hparams_"))


@pytest.fixture(scope="module")
def run(quick_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that all three follow, stopped after a round and continued; one figure is drawn by hand."""
    for name in ("tensorboard", "wandb", "mlflow"):
        library(name)
    from PIL import Image

    folder = tmp_path_factory.mktemp("followed") / "results"
    first = quick_run(*WORDS, ALL, "rounds=1", folder=folder)
    (first / "figures").mkdir(exist_ok=True)
    Image.new("RGB", (40, 30), (200, 10, 10)).save(first / "figures" / "red.png")
    assert quick_run(*WORDS, ALL, "rounds=3", folder=folder) == first
    return first


@pytest.fixture(scope="module")
def expected(run: Path) -> list[tuple[str, int, float]]:
    """Return what the tables hold: name, round and value, by other words than those of the program."""
    tables, found = fedlayers.read(run), []
    every = ((tables.records, (), ""), (tables.resources, ("resources",), ""), (tables.pairs, (), "mean_of_pairs"))
    for table, prefix, together in every:
        groups: dict[tuple[str, int], list[float]] = {}
        for row in table.astype(object).where(table.notna(), None).to_dict("records"):
            if row["value"] is None or not np.isfinite(row["value"]):
                continue
            keys = (row.get(key) for key in ("moment", "scope", "variant", "layer", "subject", "model"))
            stem = "/".join(part.replace(", ", "_") for part in (*prefix, row["metric"], *keys) if part)
            if together or row["client"] is not None:
                groups.setdefault((f"{stem}/{together or 'mean_of_clients'}", row["round"]), []).append(row["value"])
            whose = "server" if row["client"] is None else f"client_{row['client']}"
            found += [] if together else [(f"{stem}/{whose}", row["round"], row["value"])]
        found += [(name, number, float(np.mean(values))) for (name, number), values in groups.items()]
    return sorted(found)


def same(found: list[tuple[str, int, float]], wanted: list[tuple[str, int, float]], final: int = 3) -> None:
    """Hold that names, rounds and values are the same; what was measured at an earlier end may be there as well."""
    found = [row for row in found if not ("/final/" in row[0] and row[1] != final)]
    assert [row[:2] for row in found] == [row[:2] for row in wanted]
    np.testing.assert_allclose([row[2] for row in found], [row[2] for row in wanted], rtol=1e-6)


@pytest.mark.slow
def test_tensorboard_has_the_tables_histograms_figures_and_settings(
    run: Path, expected: list[tuple[str, int, float]]
) -> None:
    found = in_tensorboard(run / "tensorboard")
    same(found, expected)
    read = event_files(run / "tensorboard")
    for number in (1, 2, 3):
        weights = np.concatenate([fedlayers.open(run).weights(number)["fc1.weight"].numpy().ravel()])
        one = next(one for one in read.Histograms("weights/fc1.weight") if one.step == number).histogram_value
        counts, edges = np.histogram(weights.astype(float), 50)
        assert (
            one.bucket[1:] == counts.tolist() and one.bucket_limit == pytest.approx(edges) and one.num == weights.size
        )
    [image] = read.Images("figures/red")
    assert (image.step, image.width, image.height) == (3, 40, 30)
    assert image.encoded_image_string == (run / "figures" / "red.png").read_bytes()
    [text] = read.Tensors("configuration/text_summary")
    told = text.tensor_proto.string_val[0].decode()
    assert "training.lr: " in told and "dataset.name: digits" in told


@pytest.mark.slow
def test_weights_and_biases_has_them_offline(run: Path, expected: list[tuple[str, int, float]]) -> None:
    [file] = run.glob("wandb/offline-run-*/*.wandb")
    rows = wandb_reader.history(file)
    flat = [
        (name, row["round"], value)
        for row in rows
        for name, value in row.items()
        if name.split("/")[-1].startswith(("server", "client_", "mean_of_"))
    ]
    same(sorted(flat), expected)
    assert [row["round"] for row in rows] == [0, 1, 2, 3, 3]
    counts = np.histogram(fedlayers.open(run).weights(2)["fc1.weight"].double().numpy(), 50)[0]
    assert rows[2]["weights/fc1.weight/values"] == counts.tolist()
    assert rows[-1]["figures/red/width"] == 40
    assert wandb_reader.settings(file)["dataset.name"] == "digits"


@pytest.mark.slow
def test_mlflow_has_them_in_its_store(run: Path, expected: list[tuple[str, int, float]]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{run.parents[1] / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("main")
    assert experiment is not None
    [found] = client.search_runs([experiment.experiment_id])
    rows = [
        (one.key, one.step, one.value)
        for key in found.data.metrics
        for one in client.get_metric_history(found.info.run_id, key)
    ]
    same(sorted(rows), expected)
    assert found.info.status == "FINISHED" and found.data.params["dataset.name"] == "digits"
    files = Path(found.info.artifact_uri)
    assert (files / "figures" / "red.png").read_bytes() == (run / "figures" / "red.png").read_bytes()
    histograms = json.loads((files / "histograms" / "round=000002.json").read_text())
    assert sum(histograms["weights/fc1.weight"]["counts"]) == fedlayers.open(run).weights(2)["fc1.weight"].numel()
    assert (files / "config.yaml").is_file()


@pytest.mark.slow
def test_afterwards_it_is_the_same_and_nothing_is_written_twice(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run), "--to", "tensorboard", "--out", str(tmp_path)]) == 0
    place = tmp_path / "main" / run.name
    assert capsys.readouterr().out == f"{place}\n"
    assert in_tensorboard(place) == in_tensorboard(run / "tensorboard")
    assert main([str(run), "--to", "tensorboard,wandb,mlflow"]) == 1
    told = capsys.readouterr().err
    assert told.count(f"has all of {run} already: there is nothing to export\n") == 3
    assert main([str(run), "--to", "mlflow", "--out", str(tmp_path)]) == 1
    assert "--out is a folder, and mlflow writes to none: leave it out" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(run), "--to", "tensorbord"])
    assert "'tensorbord' is none of chain, hetvis" in capsys.readouterr().err


def test_a_store_that_mlflow_does_not_open_is_told_in_a_sentence(run: Path) -> None:
    library("mlflow")
    with pytest.raises(UserError, match=r"a store that MLflow opens, such as .*, got tape://reel \("):
        MLflow(uri="tape://reel").write(fedlayers.open(run))


@pytest.mark.slow
def test_a_finished_run_is_given_to_a_tracker_that_is_asked_for_later(
    quick_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library("tensorboard")
    words = ("engine=local", "metrics=[evaluation]", "rounds=1")
    run = quick_run(*words, folder=tmp_path)
    assert quick_run(*words, "tracking=[tensorboard]", "tracking.tensorboard.clients=false", folder=tmp_path) == run
    found = in_tensorboard(run / "tensorboard")
    assert found and not any("client_" in name.split("/")[-1] for name, _, _ in found)
    assert any(name.endswith("mean_of_clients") for name, _, _ in found)
    with pytest.raises(UserError, match=r"is (running|interrupted|stopped): a run is exported when it is complete"):
        (run / "done.json").unlink()
        TensorBoard(str(tmp_path / "other")).write(fedlayers.open(run))


def test_a_folder_of_trackers_is_exported_like_a_run(tmp_path: Path) -> None:
    library("tensorboard")
    model = TwoHeads()
    with MetricsManager(model, save_dir=tmp_path / "mine", track_attention=False) as manager:
        manager.generate_visualizations = lambda: []  # type: ignore[method-assign]
        for epoch in (1, 2):
            with manager.epoch(epoch):
                step(model)
                manager.class_performance.update(*answers(model))
    run = fedlayers.open(tmp_path / "mine")
    assert TensorBoard().write(run).where == str(tmp_path / "mine" / "tensorboard")
    read = event_files(tmp_path / "mine" / "tensorboard")
    norms = manager.gradients.history  # type: ignore[union-attr]
    found = [one.value for one in read.Scalars("step_gradient_norm/after_local/crop/global/server")]
    assert found == pytest.approx([norms[epoch]["crop"].norm.mean for epoch in (1, 2)], rel=1e-6)
    assert [one.step for one in read.Histograms("weight_histogram/after_local/crop/global/server")] == [1, 2]
    assert settings_of(run)["algorithm"] == "own loop"


class Recorded(Sink):
    """A tracker that keeps what it is given, and fails when it is told to."""

    def __init__(self, outlet: "Recorder") -> None:
        self.outlet = outlet
        self.last = max(outlet.rounds, default=-1)

    def log(self, values: RoundValues) -> None:
        if self.outlet.fails:
            raise OSError(28, "No space left on device")
        self.outlet.rounds.append(values.number)

    def finish(self, last: RoundValues, figures: Mapping[str, Path]) -> None:
        self.outlet.is_whole = True

    def close(self) -> None:
        self.outlet.closed += 1


class Recorder(Outlet):
    """Opens the above."""

    def __init__(self, hangs: threading.Event | None = None) -> None:
        super().__init__()
        self.rounds: list[int] = []
        self.fails, self.is_whole, self.closed, self.hangs = False, False, 0, hangs

    def open(self, run: Any) -> Sink:
        if self.hangs is not None:
            self.hangs.wait(30)
        return Recorded(self)

    def existing(self, run: Any) -> str | None:
        return None

    def place(self, run: Any) -> str:
        return "there"


@pytest.fixture(scope="module")
def plain_run(quick_run: Callable[..., Path]) -> Path:
    return quick_run("engine=local", "metrics=[weights]", "rounds=2")


def test_a_full_disk_is_told_once_and_what_was_missed_is_made_up_for(plain_run: Path) -> None:
    told: list[str] = []
    tracker = Recorder()
    with LiveTracking({"mine": tracker}, plain_run, told.append) as tracking:
        tracker.fails = True
        for number in (1, 2):
            tracking.round_done(number)
            while tracker.closed < number:
                time.sleep(0.01)
        tracker.fails = False
        tracking.finish()
    assert (tracker.rounds, tracker.is_whole) == ([0, 1, 2], True)
    assert told[0].startswith("tracking=mine has not all of the run (OSError: [Errno 28] No space left on device): the")
    assert told[0].endswith(f"python -m fedlayers.export {plain_run} --to mine writes what it lacks")
    assert told[1:] == ["tracking=mine: there"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full, a disk that is always full")
def test_a_disk_that_tensorboard_finds_full_is_one_sentence_and_the_run_goes_on(
    quick_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    library("tensorboard")
    monkeypatch.setattr(tensorboard_files, "file_name", lambda: "/dev/full")
    run = quick_run("engine=local", "metrics=[weights]", "rounds=2", "tracking=[tensorboard]")
    told, errors = capfd.readouterr()
    assert fedlayers.open(run).facts["status"] == "complete"
    assert told.count("tracking=tensorboard has not all of the run (cannot write") == 1
    assert told.count("the disk is full") == 1 and "[Errno" not in told
    assert "Traceback" not in told + errors and "OSError" not in told + errors
    # With room again it is made up for.
    monkeypatch.undo()
    TensorBoard().write(fedlayers.open(run))
    assert {number for _, number, _ in in_tensorboard(run / "tensorboard")} == {0, 1, 2}


def test_a_tracker_that_does_not_answer_holds_nothing_up(plain_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_tracking, "FINISH_S", 0.05)
    monkeypatch.setattr(live_tracking, "STOP_S", 0.05)
    told: list[str] = []
    hangs = threading.Event()
    with LiveTracking({"deaf": Recorder(hangs), "mine": (mine := Recorder())}, plain_run, told.append) as tracking:
        tracking.round_done(2)
        tracking.finish()
        while not mine.is_whole:
            time.sleep(0.01)
    hangs.set()
    assert any("tracking=deaf has not all of the run (it does not answer for 0 s)" in note for note in told)
    assert mine.rounds == [0, 1, 2]


def test_without_a_library_or_a_server_the_run_goes_on(
    quick_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name != "mlflow" else name)
    words = ("engine=local", "metrics=[weights]", "rounds=1", ALL, "tracking.mlflow.uri=http://127.0.0.1:9")
    run = quick_run(*words)
    assert fedlayers.open(run).facts["status"] == "complete"
    told = capsys.readouterr().out
    for name in ("tensorboard", "wandb"):
        assert f"tracking={name} has not all of the run ({name} is not installed: pip install {name}, or" in told
    assert "the MLflow server http://127.0.0.1:9 does not answer" in told
    with pytest.raises(UserError, match="wandb is not installed: pip install wandb, or all trackers with pip install"):
        WeightsAndBiases().open(fedlayers.open(run))


@pytest.mark.slow
def test_a_round_that_a_dead_process_began_is_completed(
    plain_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library("mlflow")
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setattr(mlflow_run, "_LONGEST_NAME", 60)
    tracker, run = MLflow(uri=(tmp_path / "mlruns").as_uri()), fedlayers.open(plain_run)
    sink = tracker.open(run)
    first, second = (values_of(run, number, is_final=False, clients=True) for number in (0, 1))
    sink.log(first)
    names = list(second.scalars)
    client = MlflowClient(tracking_uri=tracker.place(run))
    [begun] = client.search_runs([client.get_experiment_by_name("main").experiment_id])
    short = next(name for name in names if len(name) <= 60)
    client.log_batch(begun.info.run_id, metrics=[Metric(short, second.scalars[short], 0, 1)])
    assert tracker.existing(run) is None
    tracker.write(run)
    for name in client.get_run(begun.info.run_id).data.metrics:
        steps = [one.step for one in client.get_metric_history(begun.info.run_id, name)]
        assert sorted(set(steps)) == sorted(steps), name
        assert len(name) <= 60
    assert str(begun.info.run_id) in str(tracker.existing(run))
    assert client.get_run(begun.info.run_id).data.tags["fedlayers.ends"] == str(run.facts["rounds"])


def test_names_that_differ_in_strange_letters_alone_are_told_apart() -> None:
    found: dict[str, float] = {}
    for value in (1.0, 2.0, 3.0):
        _put(found, "recall/C_", value)
    assert found == {"recall/C_": 1.0, "recall/C__2": 2.0, "recall/C__3": 3.0}


def test_mistakes_are_found_before_a_run_begins(quick_run: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tracking has no option 'tensorbord'; did you mean tracking=\[tensorboard\]"):
        quick_run("tracking=[tensorbord]")
    with pytest.raises(UserError, match=r"tracking.wandb.mode must be one of offline, online, got 'of'"):
        quick_run("tracking=[wandb]", "tracking.wandb.mode=of", folder=tmp_path)
    with pytest.raises(UserError, match=r"tracking.mine._target_ must be a subclass of .*Outlet"):
        outlets({"mine": {"_target_": "collections.OrderedDict"}})
    assert outlets({"wandb": None}) == {} and not list(tmp_path.iterdir())
