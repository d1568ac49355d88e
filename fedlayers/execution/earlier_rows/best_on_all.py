"""The model of the best round on all clients, at the end of a run whose rounds ask only some of them."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from fedlayers.config.schema.settings import Config
from fedlayers.core.records import BEST
from fedlayers.execution.earlier_rows.known_rows import readdressed
from fedlayers.flower.global_model import GlobalModel
from fedlayers.flower.replies import Replies
from fedlayers.flower.strategy_contract import Declared
from fedlayers.runs.checkpoint import Best
from fedlayers.runs.folder import RunFolder
from fedlayers.runs.manifest import BEST as FILE

_SCOPES = pa.array(["client_val", "client_test"], pa.string())


def best_on_all(
    config: Config,
    strategy: Declared,
    best: Best | None,
    final: Replies,
    model: GlobalModel,
    folder: RunFolder,
    evaluate: Callable[[GlobalModel, int], Replies],
) -> list[pa.Table]:
    """Return what the clients of the final evaluation reach with the model of the best round, moment ``best``.

    With ``fraction`` below 1 the best round has scores of its own clients only, and those of other clients cannot be
    compared with them. There are no rows where all clients are asked in every round, and where a client's model is not
    the global one alone: what clients and strategy had beside it in an earlier round is gone.

    Args:
        config: of the run.
        strategy: what the strategy declares.
        best: the best round.
        final: the final evaluation.
        model: the global model after the last round.
        folder: where the best model lies.
        evaluate: has a model of a round evaluated by the clients of the final evaluation.
    """
    alone = strategy.has_global_model and strategy.one_model and not strategy.pooled
    if config.fraction == 1 or best is None or not alone or _has_personal(final):
        return []
    found = final
    if best.round != config.rounds:
        found = evaluate(model.restored((folder.path / FILE).read_bytes()), best.round)
    pieces = [piece.filter(_is_score()) for piece in found.tables.get("records", [])]
    return [readdressed(piece, {"moment": BEST}) for piece in pieces if piece.num_rows]


def _has_personal(final: Replies) -> bool:
    of_clients = [piece["model"].cast(pa.string()) for piece in final.tables.get("records", [])]
    return any(pc.any(pc.equal(column, "personal")).as_py() for column in of_clients)


def _is_score() -> pc.Expression:
    """Return what rows of a client's whole model on its own examples fulfil."""
    whole = pc.field("layer").is_null() & pc.field("subject").is_null()
    return (pc.field("owner") == "client") & pc.field("scope").isin(_SCOPES) & whole
