"""Which figures can be drawn of a run or a study, from what is in its tables."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from fedlayers.core.errors import UserError
from fedlayers.core.quantities import RENAMED, Quantities, quantity_now
from fedlayers.core.spelling import in_brackets
from fedlayers.figures.chain.available import chain_figures
from fedlayers.figures.classes.confusion import confusion_matrix
from fedlayers.figures.clients.client_matrix import client_matrices
from fedlayers.figures.clients.clusters import client_clusters
from fedlayers.figures.clients.distances import similarity_composite
from fedlayers.figures.clients.learning import learning_curves
from fedlayers.figures.clients.model_matrix import model_matrices
from fedlayers.figures.clients.partition import partition_matrix
from fedlayers.figures.drawing.drawable import Drawing
from fedlayers.figures.drawing.small_profiles import pages
from fedlayers.figures.heterogeneity.available import heterogeneity_figures
from fedlayers.figures.layers.curvature import gradient_curvature_sensitivity
from fedlayers.figures.layers.density import hessian_density
from fedlayers.figures.layers.layer_matrix import layer_matrices
from fedlayers.figures.layers.overview import layer_overview
from fedlayers.figures.layers.profiles import layer_profile
from fedlayers.figures.layers.similarity import similarity_profile
from fedlayers.figures.plans.prefixes import shared_prefixes
from fedlayers.figures.plans.shared_layers import federation_plan
from fedlayers.figures.plans.transition import layer_transition
from fedlayers.figures.studies.critical_difference import rank_figures
from fedlayers.figures.studies.curves import study_curves
from fedlayers.figures.studies.layers import study_overview, study_profile
from fedlayers.figures.training.available import training_figures
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables, read
from fedlayers.views.client_profiles import curvature_rows
from fedlayers.views.clusters import cluster_distances
from fedlayers.views.confusions import last_confusion
from fedlayers.views.curves import curve_rows
from fedlayers.views.densities import hessian_densities
from fedlayers.views.holdings import holdings
from fedlayers.views.pairs import PROFILED, distance_metrics, pair_metrics, whole_model_metrics
from fedlayers.views.places import in_layers
from fedlayers.views.plans.prefixes import prefix_scores
from fedlayers.views.plans.shared_layers import shared_layers
from fedlayers.views.plans.transitions import transitions
from fedlayers.views.profiles import layer_metrics
from fedlayers.views.rounds import in_round, rounds_of_layers
from fedlayers.views.run_groups import Setting, complete_runs, in_setting, setting_of, settings_of

# Of the metrics of pairs, the first of these that is there is a main figure.
_MAIN_PAIRS = ("cka", "procrustes_distance", "cka_distance")


def figures_of(folder: Path, only_round: int | None = None, layers: Sequence[str] = ()) -> list[Drawing]:
    """Return the figures that can be drawn of a run, or of the complete runs of a study.

    Args:
        folder: of a run or of a study.
        only_round: show values of layers in this round instead of the first and the last one measured, and leave out
            what is not about layers.
        layers: show these layers alone; empty for all.

    Raises:
        UserError: if it is neither, no run of the study is complete, its tables cannot be read, nothing of layers was
            measured in that round, or there is no such layer.
    """
    return figures_in(read(folder), only_round, layers)


def figures_in(tables: Tables, only_round: int | None = None, layers: Sequence[str] = ()) -> list[Drawing]:
    """Return the figures that can be drawn of tables that were read; see :func:`figures_of`."""
    if not tables.runs:
        raise UserError(f"{tables.path} is one table: give the study folder, {tables.path.parent}")
    return _of_study(tables, only_round, layers) if tables.several else _of_run(tables, only_round, layers)


def chosen(figures: Sequence[Drawing], names: Sequence[str], metric: str | None, folder: Path) -> list[Drawing]:
    """Return those of the figures that are named, and of them those of one metric if it is given.

    Args:
        figures: all that can be drawn; one or more.
        names: of figures or of kinds of them; empty for all.
        metric: the metric that they show; None for any.
        folder: what they are of, for messages.

    Raises:
        UserError: for a name or a metric that none of the figures has.
    """
    if metric is not None:
        metrics = sorted({figure.metric for figure in figures if figure.metric})
        shown = metric if metric in metrics else quantity_now(metric)
        if shown not in metrics:
            raise UserError(
                f"{folder} has no figure of --metric {metric}{in_brackets(metric, metrics)}; "
                f"there are figures of {_listed(metrics)}"
            )
        figures = [figure for figure in figures if figure.metric == shown]
    found = []
    for name in names:
        known_as = (name, _name_now(name))
        matching = [figure for figure in figures if figure.family == name or figure.name in known_as]
        if not matching:
            known = list(dict.fromkeys(figure.family for figure in figures))
            of_metric = f" of {metric}" if metric else ""
            meant = in_brackets(name, [*known, *(figure.name for figure in figures)])
            raise UserError(f"{folder} has no figure {name}{of_metric}{meant}; there are {_listed(known)} (see --list)")
        found += [figure for figure in matching if figure not in found]
    return found if names else list(figures)


def _name_now(name: str) -> str:
    """Return a figure's name with the quantity in it as it is called now."""
    return next(
        (name.removesuffix(old) + now.quantity for old, now in RENAMED.items() if name.endswith(f"_{old}")), name
    )


def _of_run(tables: Tables, only_round: int | None, layers: Sequence[str]) -> list[Drawing]:
    facts, quantities = run_facts(tables.path), tables.quantities
    whole = [in_layers(rows, layers) for rows in (tables.records, tables.pairs, tables.spectra)]
    _check_round(tables.path, whole, only_round)
    records, pairs, spectra = (in_round(rows, only_round) for rows in whole)
    found = [] if only_round is not None else _of_whole_run(tables, facts, quantities)
    metrics = layer_metrics(records)
    for part, page in pages(metrics):
        found.append(
            Drawing("layer_overview", partial(layer_overview, records, page, facts, quantities), part=part, main=True)
        )
    if not curvature_rows(records).empty:
        make = partial(gradient_curvature_sensitivity, records, facts, quantities)
        found.append(Drawing("gradient_curvature_sensitivity", make, main=True))
    if not hessian_densities(spectra).empty:
        found.append(Drawing("hessian_density", partial(hessian_density, spectra, facts), main=True))
    if distance_metrics(pairs):
        found.append(
            Drawing("similarity_composite", partial(similarity_composite, pairs, facts, quantities), main=True)
        )
    for family, function, relations in (
        ("similarity", similarity_profile, tuple(PROFILED)),
        ("clients", client_matrices, ("clients",)),
        ("layers", layer_matrices, ("layers",)),
    ):
        of_family = pair_metrics(pairs, relations)
        main = next((metric for metric in _MAIN_PAIRS if metric in of_family), None)
        found += [
            Drawing(family, partial(function, pairs, metric, facts, quantities), metric, main=metric == main)
            for metric in of_family
        ]
    found += [
        Drawing("layer_profile", partial(layer_profile, records, metric, facts, quantities), metric)
        for metric in metrics
    ]
    found += chain_figures(records, [setting_of(tables.path)])
    return found if only_round is not None else found + _of_classes(spectra, facts)


def _of_classes(spectra: pd.DataFrame, facts: Mapping[str, Any]) -> list[Drawing]:
    """Return the figures of which class was taken for which."""
    confusion = last_confusion(spectra, facts["classes"]) if facts.get("classes") else None
    if confusion is None:
        return []
    return [
        Drawing("confusion_matrix", partial(confusion_matrix, confusion, facts, normalized), part=part)
        for part, normalized in ((None, False), ("normalized", True))
    ]


def _of_whole_run(tables: Tables, facts: Mapping[str, Any], quantities: Quantities) -> list[Drawing]:
    """Return the figures that are not about layers."""
    found = []
    if not curve_rows(tables.records).empty:
        found.append(Drawing("learning_curves", partial(learning_curves, tables.records, facts, quantities), main=True))
    if not holdings(tables.partition).empty:
        found.append(Drawing("partition", partial(partition_matrix, tables.partition, facts), main=True))
    if not cluster_distances(tables.records, tables.pairs).empty:
        make = partial(client_clusters, tables.records, tables.pairs, facts)
        found.append(Drawing("client_clusters", make, main=True))
    found += heterogeneity_figures(tables.records, facts, quantities)
    found += training_figures(tables, facts)
    if shared_layers(tables.records, facts):
        found.append(Drawing("federation_plan", partial(federation_plan, tables.records, facts), main=True))
    if transitions(tables.records):
        found.append(Drawing("layer_transition", partial(layer_transition, tables.records, facts), main=True))
    found += [
        Drawing("models", partial(model_matrices, tables.pairs, metric, facts, quantities), metric, main=number == 0)
        for number, metric in enumerate(whole_model_metrics(tables.pairs))
    ]
    return found


def _check_round(folder: Path, tables: Sequence[pd.DataFrame], only_round: int | None) -> None:
    """Raise UserError if nothing of layers was measured in the round."""
    measured = rounds_of_layers(tables)
    if only_round is not None and only_round not in measured:
        rounds = ", ".join(map(str, measured)) or "none"
        raise UserError(f"{folder} has no values of layers in round {only_round}; rounds with some: {rounds}")


def _of_study(tables: Tables, only_round: int | None, layers: Sequence[str]) -> list[Drawing]:
    sound = complete_runs(tables)
    records = in_layers(replace(tables, runs=sound).records, layers)
    runs = [run for run in sound if run.name in set(records["run"].unique())]
    _check_round(tables.path, [records], only_round)
    found = []
    settings = settings_of(runs)
    for setting in settings:
        found += _of_setting(in_setting(records, setting), setting, only_round)
        scores = prefix_scores(in_setting(records, setting), [run for run in runs if run.name in setting.runs])
        if only_round is None and not scores.empty:
            found.append(
                Drawing("shared_prefixes", partial(shared_prefixes, scores, setting), part=setting.name, main=True)
            )
    if only_round is None and not layers:
        found += rank_figures(records, runs)
    return found + chain_figures(in_round(records, only_round), settings)


def _of_setting(records: pd.DataFrame, setting: Setting, only_round: int | None) -> list[Drawing]:
    found = []
    if only_round is None and not curve_rows(records).empty:
        make = partial(study_curves, records, setting)
        found.append(Drawing("learning_curves", make, part=setting.name, main=True))
    records = in_round(records, only_round)
    metrics = layer_metrics(records)
    for number, page in pages(metrics):
        part = "_".join(word for word in (setting.name, number) if word)
        found.append(Drawing("layer_overview", partial(study_overview, records, page, setting), part=part, main=True))
    return found + [
        Drawing("layer_profile", partial(study_profile, records, metric, setting), metric, setting.name)
        for metric in metrics
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
