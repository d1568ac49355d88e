"""What is slow: each takes a run's folder, settings as JSON has them, and whom to tell of progress.

Each returns tables by part. What a table says beside its rows is in its schema's metadata, as JSON under ``facts``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from fedlayers.charts.charted import FACTS
from fedlayers.core.errors import UserError
from fedlayers.core.json_values import plain
from fedlayers.core.kinds.tokens import PADDING
from fedlayers.explore.slow.worker import Progress
from fedlayers.heterogeneity.clusters import inconsistent_clusters
from fedlayers.heterogeneity.contrasts import of_cluster, overview
from fedlayers.heterogeneity.input_sets import records_of
from fedlayers.heterogeneity.maps import two_maps
from fedlayers.heterogeneity.over_rounds import over_rounds
from fedlayers.heterogeneity.record_features import record_features
from fedlayers.heterogeneity.trajectory import trajectory
from fedlayers.heterogeneity.two_models import TwoModels
from fedlayers.heterogeneity.verdicts import verdicts
from fedlayers.opening.run import Run
from metrics.readouts.jensen_shannon import jensen_shannon

Settings = Mapping[str, Any]
Found = Mapping[str, pa.Table]


def parameters(run: Path, settings: Settings, progress: Progress) -> Found:
    """Return where models lie; see :func:`fedlayers.heterogeneity.trajectory.trajectory`."""
    progress(None, "reading models")
    found = trajectory(Run(run), settings["layer"], settings["client"])
    told = {"explained": found.explained, "sampled": found.sampled, "layer": settings["layer"]}
    return {"points": _with(pa.Table.from_pandas(found.points, preserve_index=False), told)}


def outputs(run: Path, settings: Settings, progress: Progress) -> Found:
    """Return what both models say about each record of a client."""
    compared = _compared(run, settings, progress)
    together, alone = compared.federated_probabilities, compared.local_probabilities
    columns = {
        "example": np.arange(len(alone)),
        "scope": pa.array(compared.records.scopes).dictionary_encode(),
        "truth": _labels(compared.records.truth, len(alone)),
        "local": alone.argmax(1),
        "federated": together.argmax(1),
        "consistent": ~compared.inconsistent,
        "divergence": jensen_shannon(torch.from_numpy(alone), torch.from_numpy(together)).numpy(),
        "local_confidence": alone.max(1),
        "federated_confidence": together.max(1),
    }
    features = record_features(compared.run, compared.records)
    told = {
        "round": compared.number, "classes": list(compared.run.facts["classes"]), "kind": features.kind,
        "names": features.names, "shape": list(compared.run.data.shape),
    }  # fmt: skip
    return {"records": _with(pa.table(columns), told)}


def rounds(run: Path, settings: Settings, progress: Progress) -> Found:
    """Return how a client's two models disagree in each round, and (records) what each round's model predicts."""
    progress(None, "reading data and models")
    found = over_rounds(Run(run), settings["client"], settings["inputs"], progress)
    told = {"local_accuracy": found.local_accuracy, "null": found.null}
    columns = {
        "round": found.rounds,
        "disagreement": found.disagreement,
        "divergence": found.divergence,
        "accuracy": found.accuracy,
    }
    predicted = pa.FixedSizeListArray.from_arrays(pa.array(found.classes.ravel(), pa.int32()), found.classes.shape[1])
    return {
        "rounds": _with(pa.table(columns), told),
        "records": _with(pa.table({"round": found.rounds, "federated": predicted}), told),
    }


def contrast(run: Path, settings: Settings, progress: Progress) -> Found:
    """Return a client's records in contrastive components (scores), and what each feature counts in them (loadings)."""
    compared = _compared(run, settings, progress)
    odd = compared.inconsistent
    progress(None, f"looking for directions that tell {odd.sum()} inconsistent of {len(odd)} records apart")
    alpha, components, members = settings["alpha"], settings["components"], settings["examples"]
    if members is None:
        found = overview(compared, alpha, components)
    else:
        found = of_cluster(compared, members, alpha, components)
    names = [f"c{place + 1}" for place in range(len(found.loadings))]
    told = {"alpha": found.alpha, "round": compared.number, "shape": list(compared.run.data.shape)}
    scores = pa.table(dict(zip(names, found.scores.T, strict=True)))
    loadings = pa.table(dict(zip(names, found.loadings, strict=True)))
    return {"scores": _with(scores, told), "loadings": _with(loadings, told)}


def clusters(run: Path, settings: Settings, progress: Progress) -> Found:
    """Return the cluster of each inconsistent record of a client (records), and what each is like (clusters)."""
    two = _compared(run, settings, progress)
    progress(None, f"clustering {two.inconsistent.sum()} inconsistent of {len(two.inconsistent)} records")
    found = inconsistent_clusters(two, settings["number"], settings["linkage"])
    told = {"round": two.number, "p": found.found.p, "reason": found.found.reason}
    records = pa.table({"example": found.numbers, "cluster": found.found.labels})
    sizes, stability = found.found.sizes, found.found.stability.jaccard
    like = {"cluster": np.arange(len(sizes)), "size": sizes, "accuracy": found.accuracy, "stability": stability}
    return {"records": _with(records, told), "clusters": _with(pa.table(like), told)}


def maps(run: Path, settings: Settings, progress: Progress) -> Found:
    """Return where both models look in some records: a map a record and model, flat."""
    two = _compared(run, settings, progress)
    wanted = settings["examples"]
    found = two_maps(two, wanted, settings["method"], settings["layer"], settings["label"])
    shape = list(found.local.shape[1:])
    columns = {"example": pa.array(wanted)} | {
        name: pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), int(np.prod(shape)))
        for name, values in (("local", found.local), ("federated", found.federated), ("difference", found.difference))
    }
    told = {"round": two.number, "layer": found.layer, "shape": shape}
    return {"records": _with(pa.table(columns), told)}


def shifts(run: Path, settings: Settings, progress: Progress) -> Found:
    """Return for each client and kind of shift the test, and in the metadata the sentences."""
    progress(None, "comparing each client with the others")
    opened = Run(run)
    found = verdicts(opened, "best" if settings["round"] is None else settings["round"], settings["inputs"])
    rows = [
        {"client": client, "kind": kind, "found": kind in verdict.kinds, "effect": test.effect, "p": test.p,
         "adjusted": verdict.adjusted[kind], "n": test.n, "unknown": verdict.unknown.get(kind)}
        for client, verdict in found.items() for kind, test in verdict.tests.items()
    ]  # fmt: skip
    number = opened.facts["best"]["round"] if settings["round"] is None else settings["round"]
    classes = opened.facts["classes"]
    told = {"round": number, "sentences": {client: verdict.told(classes) for client, verdict in found.items()}}
    return {"records": _with(pa.Table.from_pylist(rows), told)}


def examples(run: Path, settings: Settings, progress: Progress) -> Found:
    """Return records of a client as the data set has them: a row each, ``features`` flat."""
    progress(None, "reading data")
    opened = Run(run)
    records = records_of(opened, settings["client"], settings["inputs"])
    wanted = settings["examples"]
    raw = records.raw(wanted).flatten(1).numpy()
    columns = {
        "example": wanted,
        "truth": _labels(None if records.truth is None else records.truth[wanted], len(wanted)),
        "features": pa.FixedSizeListArray.from_arrays(pa.array(raw.ravel()), raw.shape[1]),
    }
    if opened.data.has_tokens:
        words = opened.data.vocabulary
        columns["text"] = [" ".join(words[int(code)] for code in row if code != PADDING) for row in raw]
    return {"records": _with(pa.table(columns), {"shape": list(opened.data.shape)})}


def feature(run: Path, settings: Settings, progress: Progress) -> Found:
    """Return one feature of all of a client's records, as the data set has it; of texts, how often a word is there."""
    progress(None, "reading data")
    opened = Run(run)
    features = record_features(opened, records_of(opened, settings["client"], settings["inputs"]))
    place, count = settings["feature"], features.raw.shape[1]
    if place >= count:
        raise UserError(f"feature must be a number in 0 … {count - 1}, got {place}")
    told = {"name": features.names[place] if features.names else None}
    return {"records": _with(pa.table({"value": features.raw[:, place]}), told)}


def _labels(truth: torch.Tensor | None, count: int) -> pa.Array:
    """Return labels as a column, without values where nobody labelled the records."""
    return pa.nulls(count, pa.int64()) if truth is None else pa.array(truth.numpy())


def _compared(run: Path, settings: Settings, progress: Progress) -> TwoModels:
    progress(None, "reading data and models, and asking both models")
    return TwoModels(Run(run), settings["client"], settings["round"], settings["inputs"])


def _with(table: pa.Table, told: Mapping[str, Any]) -> pa.Table:
    return table.replace_schema_metadata({FACTS: json.dumps(plain(told))})
