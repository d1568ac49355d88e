"""What a client class tells a run beside Flower's ``fit`` and ``evaluate``, with the defaults that hold for any other.

One object is made for each message. ``fit`` and ``evaluate`` get the model's arrays that came, in the order of the
model (``session.received`` names them), and what the strategy tells; the session has the rest. ``fit`` returns arrays
of the model named by ``session.sent``. What else a client returns goes by its kind, each under its own name: numbers
and lists of numbers are metrics, mappings of names to arrays are records of arrays, text, bytes and truth values are
configuration; the last two reach the strategy's ``receive``.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from fedlayers.config.class_names import locate
from fedlayers.core.quantities import Facts
from fedlayers.flower.adapter import NumPyClient


class Participant(NumPyClient):
    """A NumPyClient that says what it reads and sends."""

    # What it reads of what a strategy tells its clients: keys of the configuration and names of further records.
    # None: it may read anything.
    reads: ClassVar[tuple[str, ...] | None] = None
    # The metrics in its replies to training beside the counts. None: nobody knows.
    sends: ClassVar[tuple[str, ...] | None] = None
    # Whether evaluations of the same message give the same rows, whatever moment it names: they are then made once.
    repeats: ClassVar[bool] = False
    # Whether it goes on where the layers that come and are sent change from round to round, as ``session.plan`` says.
    takes_parts: ClassVar[bool] = False
    # Whether training uses all clients' examples, so that what it measures belongs to no single client.
    pooled: ClassVar[bool] = False
    # What the column ``model`` calls the model that clients are compared on after training: the first that is measured.
    compared: ClassVar[str] = "personal"
    # How to read the values of the client's own rows.
    facts: ClassVar[tuple[Facts, ...]] = ()


def declared_client(client: Mapping[str, Any]) -> type[Participant]:
    """Return what the class in ``algorithm.client`` declares: itself, or the defaults."""
    target: object = locate(str(client["_target_"]), "algorithm.client._target_")
    return target if isinstance(target, type) and issubclass(target, Participant) else Participant
