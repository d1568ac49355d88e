"""Which clients of a round are far behind the others in loss, or in time."""

import math
import statistics
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
from flwr.app import MetricRecord

from fedlayers.flower.adapter import number, records_of
from fedlayers.flower.contents import METRICS
from fedlayers.flower.replies import Replies, client_of

# Fewer clients have no usual value.
_FEWEST = 4
# A loss is far above the others' if it is so many standard deviations (of a normal distribution with their median
# deviation) and at least once more the median above it.
_DEVIATIONS = 6.0
_NORMAL = 1.4826
# A client is slow if it trains so many times as long as the median, and so many seconds longer.
_SLOWER = 3.0
_SLOWER_S = 1.0


def far_behind(phase: Replies) -> dict[tuple[int, str], str]:
    """Return (client, what in) -> a sentence, of clients that are far behind the others in a training phase."""
    found = {(client, "loss"): text for client, text in _far_above(_losses(phase)).items()}
    return found | {(client, "time"): text for client, text in _slow(_seconds(phase)).items()}


def _losses(phase: Replies) -> dict[int, float]:
    """Return the training loss of each client that tells it, of those that are numbers."""
    records = {client_of(reply): records_of(reply.content, MetricRecord)[METRICS] for reply in phase.messages}
    losses = {client: number(record["train_loss"]) for client, record in records.items() if "train_loss" in record}
    return {client: loss for client, loss in losses.items() if math.isfinite(loss)}


def _seconds(phase: Replies) -> dict[int, float]:
    """Return how long each client trained."""
    pieces = [piece.select(["metric", "client", "value"]) for piece in phase.tables.get("resources", ())]
    if not pieces:
        return {}
    table = pa.concat_tables(pieces).combine_chunks()
    own = table.filter(pc.equal(table["metric"].cast(pa.string()), "train_s"))
    pairs = zip(own["client"].to_pylist(), own["value"].to_pylist(), strict=True)
    return {client: seconds for client, seconds in pairs if client is not None}


def _far_above(losses: Mapping[int, float]) -> dict[int, str]:
    """Return client -> what is wrong, of those whose loss is far above the others'."""
    if len(losses) < _FEWEST:
        return {}
    median = statistics.median(losses.values())
    spread = _NORMAL * statistics.median(abs(loss - median) for loss in losses.values())
    limit = median + max(_DEVIATIONS * spread, abs(median))
    text = "far behind in loss: {:.3g} in training, the median of {} clients is {:.3g}"
    return {c: text.format(loss, len(losses), median) for c, loss in losses.items() if loss > limit}


def _slow(seconds: Mapping[int, float]) -> dict[int, str]:
    """Return client -> what is wrong, of those that take far longer than the others."""
    if len(seconds) < _FEWEST:
        return {}
    median = statistics.median(seconds.values())
    limit = max(_SLOWER * median, median + _SLOWER_S)
    text = "far behind in time: {:.3g} s of training, the median of {} clients is {:.3g} s"
    return {c: text.format(own, len(seconds), median) for c, own in seconds.items() if own > limit}
