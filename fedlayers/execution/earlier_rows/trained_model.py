"""What a client measured of its trained model, where that is the global model afterwards, to the last bit."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from fedlayers.execution.earlier_rows.known_rows import NOTHING, KnownRows, moved
from fedlayers.flower.global_model import GlobalModel
from fedlayers.flower.replies import Replies
from fedlayers.flower.stamps import stamp
from fedlayers.measuring.server import ServerMeasuring
from metrics.base import Metric


def of_trained_model(
    phase: Replies, model: GlobalModel, measuring: ServerMeasuring, server_round: int, moment: str
) -> KnownRows:
    """Return what the one participant of a training phase measured of what is now the global model.

    That is what model and probe alone decide. One participant trains with ``algorithm=centralized``, with one client,
    and with a ``fraction`` that asks one. Nothing is known where the server's optimizer moved the model, or where
    client and server compute with different devices or threads, as rounding is another one then.

    Args:
        phase: the replies to training.
        model: what was made of them.
        measuring: what the server would measure it with.
        server_round: the round.
        moment: at which it would.
    """
    metrics = _alike(measuring.metrics, server_round, measuring.config.rounds, moment)
    if not metrics or len(phase.clients) != 1 or not phase.measured or not measuring.strategy.has_global_model:
        return NOTHING
    [(client, (name, own))] = phase.measured.items()
    if own != stamp(model.tensors(), model.buffers, measuring.device, measuring.config.server_threads):
        return NOTHING
    whose = pc.field("owner") == "server" if measuring.strategy.pooled else pc.field("client") == client
    quantities = pa.array(sorted({*metrics, *_quantities(metrics)}), pa.string())
    chosen = whose & (pc.field("model") == name) & pc.field("step").is_null() & pc.field("metric").isin(quantities)
    to = {"owner": "server", "client": None, "model": "global", "moment": moment}
    return KnownRows(frozenset(metrics), moved(phase, chosen, to))


def _alike(metrics: Mapping[str, Metric], server_round: int, last_round: int, moment: str) -> dict[str, Metric]:
    """Return the metrics that model and probe alone decide, which client and server measure in a round.

    None where their rows cannot be told from those of others, or where one of them is due for one of both alone: of
    what two metrics measure a value stands once.
    """
    of_model = {name: metric for name, metric in metrics.items() if metric.per_model and metric.on_server}
    due = [
        {name for name, metric in of_model.items() if metric.schedule.is_due(server_round, last_round, when)}
        for when in ("after_local", moment)
    ]
    others = {name: metric for name, metric in metrics.items() if name not in of_model}
    apart = _quantities(of_model).isdisjoint({*others, *_quantities(others)})
    return {name: of_model[name] for name in due[0]} if due[0] == due[1] and apart else {}


def _quantities(metrics: Mapping[str, Metric]) -> set[str]:
    return {facts.name for metric in metrics.values() for facts in metric.facts}
