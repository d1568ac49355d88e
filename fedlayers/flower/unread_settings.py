"""Refuses what a strategy tells its clients and no client reads."""

from collections.abc import Iterable, Mapping
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from fedlayers.config.advice import nearest_key
from fedlayers.config.options import known_keys
from fedlayers.config.schema.training import Training
from fedlayers.core.checks import check
from fedlayers.core.errors import UserError
from fedlayers.flower.adapter import records_of
from fedlayers.flower.client_contract import declared_client
from fedlayers.flower.contents import ARRAYS, CONFIG
from fedlayers.flower.orders import OBEYED, OWN, orders, plain


def check_messages(messages: Iterable[Message], client: Mapping[str, Any], training: Training) -> None:
    """Raise UserError if messages lack what clients need, or hold what the run's clients do not read.

    A client class says in ``reads`` which keys of the configuration and which further records it reads; one without
    ``reads`` may read anything.

    Args:
        messages: what a strategy made for a phase.
        client: ``algorithm.client``.
        training: the run's settings of local training.
    """
    reads = reads_of(client)
    for content in {id(message.content): message.content for message in messages}.values():
        config = _config_of(content)
        if reads is None:
            continue
        told = [str(key) for key in config if key not in OWN]
        for key in [*told, *(name for name in content if name not in (ARRAYS, CONFIG))]:
            if plain(key) not in reads:
                raise UserError(_unread(key, key in told, str(client["_target_"])))
        orders({key: value for key, value in config.items() if plain(str(key)) in reads}, training)


def reads_of(client: Mapping[str, Any]) -> set[str] | None:
    """Return what a client class says it reads, None if it says nothing."""
    reads = declared_client(client).reads
    return None if reads is None else {plain(key) for key in reads}


def _config_of(content: RecordDict) -> ConfigRecord:
    """Return the configuration in a message that has what every client needs."""
    for kind, name in ((ArrayRecord, ARRAYS), (ConfigRecord, CONFIG)):
        found = [key for key in content if isinstance(content[key], kind)]
        advice = f"leave out algorithm.strategy.{name.removesuffix('s')}record_key" if found else ""
        check(name in found, f"the {kind.__name__} of what algorithm.strategy sends", f"named {name!r}", found, advice)
    config = records_of(content, ConfigRecord)[CONFIG]
    lost = [key for key in OWN[:3] if key not in config]
    if lost:
        raise UserError(
            f"algorithm.strategy must pass on the configuration that it is given, and lost {', '.join(lost)} of it; "
            "add keys to it instead of making another one"
        )
    return config


def _unread(key: str, in_config: bool, client: str) -> str:
    """Return the sentence about a key of the configuration, or a record, that no client reads."""
    what = f"{key!r} in the configuration" if in_config else f"a record {key!r}"
    start = f"algorithm.strategy sends its clients {what}, which {client} does not read"
    if plain(key) in OBEYED:
        return f"{start}, because it has an option of its own; see algorithm.client"
    ours = nearest_key(f"training.{plain(key)}", [name for name in known_keys(()) if name.startswith("training.")])
    close = ours is not None and ours.rpartition(".")[2] in plain(key).replace("-", "_")
    option = f"set {ours} instead, or " if close else ""
    return f"{start}; {option}name a client that does as algorithm.client._target_ (see reads in CONTRIBUTING.md)"
