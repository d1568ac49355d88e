"""One run from configuration to finished folder: build everything, then the rounds, then what a person looks at."""

import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from flwr.app import Message

from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import Stopped, UserError, one_line
from fedlayers.core.machine.cache_root import cache_root
from fedlayers.core.machine.disk import disk_errors
from fedlayers.core.machine.signals import signals_answered, stop_on_signals, stop_reason
from fedlayers.core.quantities import Quantities
from fedlayers.data.cache import data_root
from fedlayers.engines.base import EngineGrid, Workplace
from fedlayers.engines.make import checked_engine, make_engine, settled_device
from fedlayers.execution.alarms.telling import Alarms
from fedlayers.execution.build import Built, build
from fedlayers.execution.cohort_choice import settled_cohort
from fedlayers.execution.continuation import nothing_left, resume
from fedlayers.execution.engine_choice import choose
from fedlayers.execution.event_log import events, events_to
from fedlayers.execution.outcome import draw, export, facts_of, finish, note_stretch, save_partition, stated
from fedlayers.execution.progress import make_progress
from fedlayers.execution.rounds import RoundLoop
from fedlayers.execution.stand_alone_runs.alone import stand_alone_runs, with_stand_alone
from fedlayers.execution.starting_point import fresh_model, starting_point
from fedlayers.execution.trackers.live_tracking import LiveTracking, TrackedProgress
from fedlayers.export.trackers.outlet import outlets
from fedlayers.flower.adapter import quiet
from fedlayers.flower.strategy_contract import declared
from fedlayers.measuring.server import ServerMeasuring
from fedlayers.runs.folder import RunFolder, no_empty_folders, run_folder
from fedlayers.runs.lock import Held, LockedError, lock
from fedlayers.runs.quantities import FILE, save_quantities
from fedlayers.runs.snapshots import SnapshotChoice
from fedlayers.runs.wall_time import WallTime, sign_of_life

__all__ = ["execute", "run_folder"]

logger = logging.getLogger(__name__)


def execute(config: Config) -> Path:
    """Carry out one run, or what is missing of it, and return its folder.

    Raises:
        UserError: a mistake in the configuration, found before any work starts, or a full disk.
        ClientFailed: a client raised and ``on_client_error`` is ``stop``.
        WorkerLost: a worker died again and again.
        Stopped: a signal ended the run at the last committed round.
    """
    with signals_answered(), disk_errors(run_folder(config)):
        return _execute(config)


def _execute(config: Config) -> Path:
    quiet()
    folder = RunFolder(run_folder(config))
    try:
        if complete := nothing_left(folder, config):
            print(complete)
            # A tracker that did not follow the run, or could not, is given all of it.
            export(folder, replace(config, export={**config.export, **config.tracking}))
            return folder.path
        device, said = settled_device(config)
        config = replace(config, device=device)
        _train_alone(config)
        built = build(config)
        name, why = choose(config, built.workspace)
        why = "; ".join(filter(None, (why, said)))
        # Whatever else can turn out to be a mistake is tried before there is a folder.
        if config.force or folder.last_round() is None:
            fresh_model(config, built)
        engine = checked_engine(name, config.engine, built.device.type, built.federation.num_clients)
        config = replace(config, engine=engine)
        with no_empty_folders(folder.path.parent):
            _start(folder, config, built, name, why)
    except LockedError as holder:
        print(f"already running there ({holder}): {folder.path}")
    return folder.path


def _train_alone(config: Config) -> None:
    """Let the clients train the models alone that metrics compare with, unless that is done."""
    for other in stand_alone_runs(config):
        print(f"stand-alone models of the clients: {run_folder(other)}")
        if not RunFolder(_execute(other)).is_complete(other.rounds):
            raise UserError(
                f"metrics.heterogeneity.standalone must be complete before this run starts, and another process works "
                f"on {run_folder(other)}; start again when it is done"
            )


def _start(folder: RunFolder, config: Config, built: Built, engine: str, why: str) -> None:
    """Make the folder ours and run in it."""
    if config.force and folder.path.exists():
        with lock(folder.path):
            folder.set_aside()
    folder.create(config)
    alive, stop = sign_of_life(folder.path), threading.Event()
    with lock(folder.path, on_loss=stop.set) as held, _log_to(folder.path / "log.txt"):
        committed = resume(folder, config, built.federation)
        wall = WallTime(folder, alive)
        save_partition(folder, config, built.federation)
        files = {FILE: save_quantities(folder.path, stated(config, built))}
        cohort, tried_out = settled_cohort(config, built, engine, folder.facts())
        facts = {**folder.facts(), **facts_of(folder, config, built, engine), "cohort": cohort, "files": files}
        facts["status"] = "running"
        folder.write_facts(facts)
        _say(f"run: {folder.path}")
        _say(f"engine: {engine} ({why})")
        for remark in filter(None, (*built.federation.notes, *built.notes, tried_out)):
            _say(f"note: {remark}")
        if committed is not None:
            _say(f"continuing after round {committed}")
        try:
            with LiveTracking(outlets(config.tracking), folder.path, _say) as tracking:
                with _counted(wall, held):
                    _run_rounds(folder, config, built, engine, committed, wall, stop, tracking)
                draw(folder, config)
                held.check()
                finish(folder, config)
                tracking.finish()
            export(folder, config)
            events.info("complete: %s rounds, wall time %.1f s", config.rounds, folder.facts()["wall_s"])
        except BaseException as error:
            held.check()
            _note_end(folder, error, is_new=committed is None)
            raise


def _say(text: str) -> None:
    print(text)
    events.info(text)


def _note_end(folder: RunFolder, error: BaseException, is_new: bool) -> None:
    """Write down why a run has ended before it was complete."""
    # SystemExit: submitit has queued the job again, before its rounds began.
    stopped = isinstance(error, Stopped | KeyboardInterrupt | SystemExit)
    reason = stop_reason() if stopped else one_line(error)
    events.info("%s: %s", "stopped" if stopped else "failed", reason)
    # A disk that is full must not hide the error.
    with suppress(UserError):
        if folder.facts().get("status") != "complete":
            folder.write_facts({**folder.facts(), "status": "stopped" if stopped else "failed", "reason": reason})
        if isinstance(error, UserError):
            if is_new:
                _forget(folder)
        elif not stopped:
            logger.error("the run failed", exc_info=error)


def _forget(folder: RunFolder) -> None:
    """Remove a folder in which no round has begun: a mistake that only it could bring to light, as on other nodes."""
    if "stretches" not in folder.facts() and folder.last_round() is None:
        shutil.rmtree(folder.path)


def _run_rounds(
    folder: RunFolder,
    config: Config,
    built: Built,
    engine: str,
    committed: int | None,
    wall: WallTime,
    stop: threading.Event,
    tracking: LiveTracking,
) -> None:
    progress = TrackedProgress(make_progress(config.progress), tracking)
    model, best = starting_point(folder, config, built, committed)
    title = f"{config.dataset['name']} {config.algorithm['name']} seed {config.seed}"
    alarms = Alarms(progress, Quantities.of(stated(config, built)))

    def arrived(replies: Sequence[Message]) -> None:
        progress.advance(len(replies))
        alarms.hear(replies)

    grid = _engine(folder, config, built, engine, stop, arrived)
    try:
        with stop_on_signals(stop):
            progress.start(title, (committed or 0) + 1, config.rounds)
            note_stretch(folder, config, built, engine, committed, wall.stretch(), progress.note)
            measuring = _server_measuring(folder, config, built, engine, grid)
            for remark in measuring.remarks(model):
                progress.note(remark)
            loop = RoundLoop(
                config=config,
                strategy=built.strategy,
                measuring=measuring,
                packing=built.packing,
                grid=grid,
                folder=folder,
                progress=progress,
                alarms=alarms,
                model=model,
                snapshots=SnapshotChoice(config, measuring.strategy.has_global_model, best),
                wall_s=wall,
            )
            loop.run(committed)
    finally:
        progress.close()
        grid.close()


@contextmanager
def _counted(wall: WallTime, held: Held) -> Iterator[None]:
    """Write down how long a block of code has taken, unless the run is another process's by then."""
    try:
        yield
    finally:
        if not held.lost:
            wall.stop()


def _server_measuring(
    folder: RunFolder, config: Config, built: Built, engine: str, grid: EngineGrid
) -> ServerMeasuring:
    return ServerMeasuring(
        config=config,
        federation=built.federation,
        tested=built.tested,
        module=built.module,
        layers=built.layers,
        packing=built.packing,
        metrics=built.metrics,
        probe=built.probe,
        kept=folder.kept,
        device=built.device,
        strategy=declared(built.strategy),
        objective=built.workspace.objective_of(None),
        module_cache=built.workspace.module_cache,
        # In one process clients and server share the model.
        concurrent=engine != "local",
        parallel_map=grid.parallel_map,
    )


def _engine(
    folder: RunFolder,
    config: Config,
    built: Built,
    engine: str,
    stop: threading.Event,
    arrived: Callable[[Sequence[Message]], None],
) -> EngineGrid:
    costs = built.federation.splits["client_train"].sizes.tolist()
    shared = {
        "run folder (results_dir)": folder.path,
        "data (data_dir)": data_root(config.data_dir),
        "prepared data (FEDLAYERS_CACHE)": cache_root(),
    }
    place = Workplace(
        built.client_app(_for_workers(config, folder.facts()["cohort"])),
        costs,
        folder.path / "state",
        stop,
        arrived,
        shared,
        folder.states.last,
        frozenset(built.federation.unseen),
    )
    grid = make_engine(engine, place, config.engine)
    for remark in grid.remarks:
        print(remark)
    return grid


def _for_workers(config: Config, cohort: int) -> Config:
    """Return the configuration with paths that hold in any process, whatever its folder, and the size of cohorts."""
    dataset = dict(config.dataset)
    if isinstance(dataset.get("path"), str) and Path(dataset["path"]).exists():
        dataset["path"] = str(Path(dataset["path"]).resolve())
    training, data_dir = replace(config.training, cohort=cohort), str(data_root(config.data_dir).resolve())
    return replace(with_stand_alone(config), dataset=dataset, data_dir=data_dir, training=training)


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Write the program's log lines to a file for a block of code."""
    with disk_errors(path):
        handler = logging.FileHandler(path)
    # A line that a full disk does not take is lost, without a traceback for each.
    handler.handleError = lambda record: None  # type: ignore[method-assign]
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with events_to(handler):
            yield
    finally:
        root.removeHandler(handler)
        handler.close()
