"""The questions that the views of a page ask about a run, with their answers: as many as there is room for."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from fedlayers.charts import measured, over_rounds, participation, resources
from fedlayers.charts.about import run_page
from fedlayers.charts.charted import Charted
from fedlayers.charts.clients.compared import measured_between_clients
from fedlayers.charts.clients.holdings import client_holdings
from fedlayers.charts.clients.matrix import client_matrix
from fedlayers.charts.clients.memberships import cluster_flows
from fedlayers.charts.clients.merging import client_map, client_merging
from fedlayers.charts.layers.deviations import layer_deviations
from fedlayers.charts.layers.heat_map import layer_heat_map
from fedlayers.charts.layers.measured import measured_of_layers
from fedlayers.charts.layers.plan import federation_plan, layer_transition
from fedlayers.charts.layers.profile import layer_profile
from fedlayers.charts.layers.readouts import layer_readouts
from fedlayers.charts.layers.spectra import layer_spectra
from fedlayers.charts.packed import packed, size_of
from fedlayers.charts.questions import key_of, path_of
from fedlayers.charts.training import classes, dynamics
from fedlayers.core.errors import UserError
from fedlayers.report.room import Room
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.chain.questions import QUESTIONS
from fedlayers.views.thinning import evenly

# Key of a question -> what the page gets.
Answers = dict[str, Any]
# Path below the run's, parameters, and what answers.
Question = tuple[tuple[str, ...], Mapping[str, Any], Callable[[Tables], Charted]]
# What the views show where nothing is selected, see web/js/views.
_CURVES = ("accuracy", "subset_accuracy", "loss")
_FIRST_OF_LAYERS = ("update_norm", "update_cosine", "cka")
_MOST_ROUNDS = 50


def answers_of(tables: Tables, room: Room) -> Answers:
    """Return the answers about a run that its page shows first, then those about other rounds, metrics and layers.

    Args:
        tables: of the run.
        room: how much there is room for.

    Returns:
        Nothing if nothing was measured yet.
    """
    known = measured.measured(tables)
    if not len(known) and tables.pairs.empty:
        return {}
    run = tables.path.resolve().name
    found: Answers = {key_of(path_of("runs", run)): {"json": run_page(run_facts(tables.path), [], tables.quantities)}}
    for path, params, answer in _questions(tables, known):
        if room.answers < 1:
            break
        try:
            charted = answer(tables)
        except UserError:  # the page says so where it asks
            continue
        if room.take(size_of(charted)):
            found[key_of(path_of("runs", run, "charts", *path), params)] = packed(charted)
    return found


def _questions(tables: Tables, known: Charted) -> Iterator[Question]:
    """Yield questions, those whose answers are seen first before others."""
    yield ("measured",), {}, partial(_already, known)
    for metric in _CURVES:
        if metric in known.columns["metric"]:
            yield ("curves",), {"metric": metric}, partial(over_rounds.curves, metric=metric)
    yield ("participation",), {}, participation.participation
    yield ("resources",), {}, resources.resources
    layers, clients = measured_of_layers(tables), measured_between_clients(tables)
    yield from _of_layers(layers)
    yield from _of_clients(clients)
    yield from _of_training()
    readouts: Question = (("layers", "readouts"), {}, layer_readouts)
    # They take long, and say little where not all questions about layers were measured.
    answered = all(question.main in tables.quantities for question in QUESTIONS)
    if answered:
        yield readouts
    yield from _profiles(layers)
    yield from _spectra(layers)
    if layers.facts["readouts"] and not answered:
        yield readouts
    yield from _matrices(clients)
    yield from _other_curves(known)


def _already(known: Charted, tables: Tables) -> Charted:
    return known


def _of_layers(known: Charted) -> Iterator[Question]:
    yield ("layers",), {}, partial(_already, known)
    yield ("layers", "plan"), {}, federation_plan
    if known.facts["transition"]:
        yield ("layers", "transition"), {}, layer_transition


def _of_clients(known: Charted) -> Iterator[Question]:
    yield ("clients",), {}, partial(_already, known)
    yield ("clients", "flows"), {}, cluster_flows
    yield ("clients", "partition"), {}, client_holdings
    if main := known.facts["main"]:
        for name, chart in (("matrix", client_matrix), ("merging", client_merging), ("map", client_map)):
            yield ("clients", name), {"metric": main}, partial(chart, metric=main)


def _of_training() -> Iterator[Question]:
    for name, chart in (
        ("classes", classes.class_scores), ("tiers", classes.tier_scores), ("flow", dynamics.gradient_flow),
        ("alarms", dynamics.alarms), ("attention", dynamics.attention), ("resources", dynamics.resources),
    ):  # fmt: skip
        yield ("training", name), {}, chart


def _profiles(known: Charted) -> Iterator[Question]:
    """Yield the metrics of layers in their last round, then in the others: those shown first before the rest."""
    metrics = [str(name) for name in known.columns["metric"]]
    first = [name for name in _FIRST_OF_LAYERS if name in metrics]
    ordered = list(dict.fromkeys([*first, *metrics]))
    rounds = {name: evenly(known.facts["rounds"][name], _MOST_ROUNDS)[:-1][::-1] for name in ordered}
    for name in ordered[: len(first)]:
        yield from _of_metric(name, None)
    if ordered:
        yield ("layers", "deviations"), {}, layer_deviations
    for name in ordered[len(first) :]:
        yield from _of_metric(name, None)
    for name in ordered:
        for number in rounds[name]:
            yield from _of_metric(name, number)
    for number in sorted({one for numbers in rounds.values() for one in numbers}, reverse=True):
        yield ("layers", "deviations"), {"round": number}, partial(layer_deviations, round=number)


def _spectra(known: Charted) -> Iterator[Question]:
    """Yield the densities of the layers that have some, in their last round."""
    for layer in known.facts["spectra"]:
        yield ("layers", "spectra"), {"layer": layer}, partial(layer_spectra, layer=layer)


def _other_curves(known: Charted) -> Iterator[Question]:
    """Yield what the list of metrics of the view Rounds offers beside those that it shows always."""
    for metric in known.columns["metric"]:
        if metric not in _CURVES:
            yield ("curves",), {"metric": metric}, partial(over_rounds.curves, metric=str(metric))


def _of_metric(metric: str, number: int | None) -> Iterator[Question]:
    charts: tuple[tuple[str, Callable[..., Charted]], ...] = (("heat_map", layer_heat_map), ("profile", layer_profile))
    for name, chart in charts:
        params = {"metric": metric, "round": number}
        yield ("layers", name), params, partial(chart, metric=metric, round=number)


def _matrices(known: Charted) -> Iterator[Question]:
    """Yield matrices between clients: of the measure shown first in all rounds, then of other layers and measures."""
    columns = known.columns
    pairs = list(zip(columns["metric"], columns["layer"], strict=True))
    main = known.facts["main"]
    for number in evenly(known.facts["rounds"].get(main, []), _MOST_ROUNDS)[:-1][::-1]:
        yield _matrix(main, None, number)
    for metric, layer in sorted(pairs, key=lambda pair: pair[0] != main):
        yield _matrix(str(metric), str(layer), None)


def _matrix(metric: str, layer: str | None, number: int | None) -> Question:
    params = {"metric": metric, "layer": layer, "round": number}
    return ("clients", "matrix"), params, partial(client_matrix, metric=metric, layer=layer, round=number)
