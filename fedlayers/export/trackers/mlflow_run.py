"""A run in MLflow."""

import hashlib
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedlayers.core.errors import UserError, one_line
from fedlayers.export.trackers.outlet import Outlet, Sink, name_of, settings_of
from fedlayers.export.trackers.values import RoundValues
from fedlayers.opening.run import Run

# What a request may hold, and how long a name or a setting may be.
_METRICS, _PARAMETERS, _LONGEST_NAME, _LONGEST_SETTING = 1000, 100, 250, 500
_NAME, _ROUND, _WHOLE, _ENDS = "fedlayers.run", "fedlayers.round", "fedlayers.whole", "fedlayers.ends"
_REACH_S = 5


class MLflow(Outlet):
    """Writes a run of MLflow, in the experiment that is called like the study.

    Numbers stand at their round, settings are parameters, figures and the configuration are artifacts, and histograms
    one artifact a round (``histograms/round=000003.json``: name -> ``edges`` and ``counts``), for MLflow knows none. A
    run that continues goes on after the last round that the store has, and adds what it has not of the next one.

    Args:
        uri: of a server or a store; None for ``MLFLOW_TRACKING_URI`` if set, else a file beside the studies,
            ``sqlite:///<results>/mlflow.db``.
        experiment: its name; None for the study's.
        clients: see :class:`fedlayers.export.trackers.outlet.Outlet`.
    """

    library, package = "mlflow", "mlflow-skinny"

    def __init__(self, uri: str | None = None, experiment: str | None = None, clients: bool = True) -> None:
        super().__init__(clients)
        self.uri, self.experiment = uri, experiment

    def place(self, run: Run) -> str:
        """Return the address of the store or server."""
        return self.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_studies(run) / 'mlflow.db'}"

    def existing(self, run: Run) -> str | None:
        """Return the run's address if the store has all of it."""
        self.needs_library()
        found = self._found(run)
        whole = found is not None and found.data.tags.get(_WHOLE) == str(run.facts.get("rounds"))
        return _address(self.place(run), found) if found is not None and whole else None

    def open(self, run: Run) -> Sink:
        """Return the run of the store, or a new one."""
        self.needs_library()
        found, client = self._found(run), self._client(run)
        if found is not None:
            client.update_run(found.info.run_id, status="RUNNING")
            client.set_tag(found.info.run_id, _WHOLE, "")
            return _MLflowRun(client, found, run)
        tags = {_NAME: name_of(run), "mlflow.source.name": "fedlayers"}
        made = client.create_run(self._experiment(client, run), run_name=run.folder.absolute().name, tags=tags)
        settings = [(key[:_LONGEST_NAME], str(value)[:_LONGEST_SETTING]) for key, value in settings_of(run).items()]
        sink = _MLflowRun(client, made, run)
        sink.set_parameters(settings)
        return sink

    def _client(self, run: Run) -> Any:
        """Return what speaks to the store.

        Raises:
            UserError: there is none at its address.
        """
        uri = self.place(run)
        _reach(uri)
        # What they say of their tables is of no interest here.
        for name in ("alembic", "mlflow.store.db.utils"):
            logging.getLogger(name).setLevel(logging.WARNING)
        from mlflow import MlflowClient

        try:
            return MlflowClient(tracking_uri=uri)
        except Exception as error:  # theirs of an address, or that of the database behind it
            raise UserError(
                "tracking.mlflow.uri or MLFLOW_TRACKING_URI must be a store that MLflow opens, such as "
                f"sqlite:///mlflow.db, got {uri} ({one_line(error)})"
            ) from error

    def _experiment(self, client: Any, run: Run) -> str:
        name = self.experiment or str(run.facts.get("study") or "fedlayers")
        if (found := client.get_experiment_by_name(name)) is None:
            files = str(_studies(run) / "mlartifacts") if self.place(run).startswith("sqlite:") else None
            try:
                return str(client.create_experiment(name, artifact_location=files))
            except Exception:  # another run of the study has just made it
                found = client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _found(self, run: Run) -> Any:
        client = self._client(run)
        experiment = client.get_experiment_by_name(self.experiment or str(run.facts.get("study") or "fedlayers"))
        if experiment is None:
            return None
        told = name_of(run).replace("'", "")
        found = client.search_runs([experiment.experiment_id], filter_string=f"tags.`{_NAME}` = '{told}'")
        return next(iter(found), None)


def _studies(run: Run) -> Path:
    """Return the folder in which the studies are; of a training loop of one's own that in which its folder is."""
    parents = run.folder.absolute().parents
    return parents[1] if "stretches" in run.facts else parents[0]


def _address(uri: str, found: Any) -> str:
    return f"{uri}, experiment {found.info.experiment_id}, run {found.info.run_id}"


def _reach(uri: str) -> None:
    """Make sure that a server answers: their own library asks for minutes.

    Raises:
        UserError: it does not.
    """
    if not uri.startswith(("http:", "https:")):
        return
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_REACH_S).close()
    except urllib.error.HTTPError:
        return  # somebody answers
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"the MLflow server {uri} does not answer ({reason}): start it, or give another tracking.mlflow.uri"
        ) from None


class _MLflowRun(Sink):
    """A run of theirs."""

    def __init__(self, client: Any, made: Any, run: Run) -> None:
        self._client, self._id, self._run = client, made.info.run_id, run
        self._ends = [end for end in made.data.tags.get(_ENDS, "").split(", ") if end]
        self.last = int(made.data.tags.get(_ROUND, -1))
        # Of a round that a process which died had begun, some may be there.
        self._is_doubtful = bool(made.data.metrics)

    def set_parameters(self, settings: Sequence[tuple[str, str]]) -> None:
        """Write the settings, once."""
        from mlflow.entities import Param

        for start in range(0, len(settings), _PARAMETERS):
            part = [Param(key, value) for key, value in settings[start : start + _PARAMETERS]]
            self._client.log_batch(self._id, params=part)
        if (self._run.folder / "config.yaml").is_file():
            self._client.log_artifact(self._id, str(self._run.folder / "config.yaml"))

    def log(self, values: RoundValues) -> None:
        """Add a round, and then that it is there."""
        self._add(values, f"round={values.number:06d}")
        self._client.set_tag(self._id, _ROUND, str(values.number))
        self._is_doubtful = False

    def _add(self, values: RoundValues, name: str) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        named = {_short(key): value for key, value in values.scalars.items()}
        known = {key for key in named if self._has(key, values.number)}
        metrics = [Metric(key, value, now, values.number) for key, value in named.items() if key not in known]
        for start in range(0, len(metrics), _METRICS):
            self._client.log_batch(self._id, metrics=metrics[start : start + _METRICS])
        if values.histograms:
            content = {
                key: {"edges": one.edges.tolist(), "counts": one.counts.tolist()}
                for key, one in values.histograms.items()
            }
            self._client.log_dict(self._id, content, f"histograms/{name}.json")

    def _has(self, key: str, number: int) -> bool:
        return self._is_doubtful and any(one.step == number for one in self._client.get_metric_history(self._id, key))

    def finish(self, last: RoundValues, figures: Mapping[str, Path]) -> None:
        """Add the end and the figures, and end the run."""
        self._is_doubtful = True
        self._add(last, "final")
        for name, path in figures.items():
            self._client.log_artifact(self._id, str(path), str(Path(name).parent))
        rounds = str(self._run.facts.get("rounds"))
        # Values of an earlier end stay, for MLflow deletes none: this says at which rounds there are such.
        self._client.set_tag(self._id, _ENDS, ", ".join(dict.fromkeys([*self._ends, rounds])))
        self._client.set_tag(self._id, _WHOLE, rounds)
        self._client.set_terminated(self._id)

    def close(self) -> None:
        """Nothing is open between two requests."""


def _short(name: str) -> str:
    """Return a name that MLflow takes: of one that is too long the begin, and digits that tell it from others."""
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
