"""What the evaluation of the last round measured already, for the end of the run: same model, client and rows."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from flwr.app import ConfigRecord, Message, RecordDict

from fedlayers.core.records import SCHEMAS
from fedlayers.execution.earlier_rows.known_rows import KnownRows, moved
from fedlayers.flower.replies import Replies


@dataclass(frozen=True)
class LastEvaluation:
    """The evaluation after a round's aggregation.

    Attributes:
        sent: client -> the content of its message.
        phase: what came back, the server's test included.
    """

    sent: Mapping[int, RecordDict]
    phase: Replies

    def covers(self, messages: Collection[Message], whole: bool = False) -> set[int]:
        """Return the clients that answered the very same message, but for the moment it named.

        Args:
            messages: what clients would get.
            whole: whether the server compares them: then it is all that get one and all that answered, or nobody.
        """
        answered = set(self.phase.clients)
        same: dict[tuple[int, int], bool] = {}
        found = set()
        for message in messages:
            client = message.metadata.dst_node_id - 1
            if client in answered:
                before, now = self.sent[client], message.content
                key = id(before), id(now)
                # Most strategies send everybody the same object.
                if key not in same:
                    same[key] = _plain(before) == _plain(now)
                found |= {client} if same[key] else set()
        return set() if whole and not len(found) == len(messages) == len(answered) else found

    def rows(
        self,
        clients: Collection[int],
        metrics: Collection[str],
        moment: str,
        without: Collection[str],
        compared: Collection[str] = (),
    ) -> KnownRows:
        """Return what was measured, as of another moment; the time that it took is not among it.

        Args:
            clients: whose rows.
            metrics: what the server measured of the global model, whose rows are among them; may be empty.
            moment: the other moment.
            without: quantities that are not due then.
            compared: quantities of which the server's comparison of all clients is among them, if they are covered.
        """
        left_out = _is_of(without)
        of_server = pc.field("owner") == "server"
        chosen = _of_clients(clients)
        if metrics:
            chosen |= of_server & (pc.field("model") == "global")
        if compared and clients:
            # Its own rows of the global model are another matter.
            chosen |= of_server & (pc.field("model").is_null() | (pc.field("model") != "global")) & _is_of(compared)
        return KnownRows(frozenset(metrics), moved(self.phase, chosen & ~left_out, {"moment": moment}))


def _is_of(quantities: Collection[str]) -> pc.Expression:
    return pc.field("metric").isin(pa.array(sorted(quantities), pa.string()))


def _of_clients(clients: Collection[int]) -> pc.Expression:
    own = pc.field("client").isin(pa.array(sorted(clients), SCHEMAS["records"].field("client").type))
    return (pc.field("owner") == "client") & own


def _plain(content: RecordDict) -> dict[str, Any]:
    """Return a content's records as they compare, without the moment."""
    return {
        name: (type(record), {key: value for key, value in record.items() if not _is_moment(record, key)})
        for name, record in content.items()
    }


def _is_moment(record: object, key: str) -> bool:
    return isinstance(record, ConfigRecord) and key == "moment"
