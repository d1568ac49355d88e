"""The class of a run's clients, as ``algorithm.client`` names it."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from fedlayers.config.building import located, plugin_maker, refusals_told
from fedlayers.config.plugins import CLIENT
from fedlayers.config.schema.old_names import refuse_old_methods
from fedlayers.core.errors import UserError
from fedlayers.flower.adapter import NumPyClient
from fedlayers.flower.session import Session


def _client_class(node: Mapping[str, Any]) -> type[NumPyClient]:
    """Return the class of the clients.

    Args:
        node: ``algorithm.client``.

    Raises:
        UserError: it does not exist, or is no NumPyClient.
    """
    found = located(CLIENT, node)
    if not inspect.isclass(found) or not issubclass(found, NumPyClient):
        raise UserError(
            f"{CLIENT}._target_ must be a subclass of flwr.client.NumPyClient, got {node['_target_']}; "
            "see clients/fedavg.py for one"
        )
    return found


def client_maker(node: Mapping[str, Any]) -> Callable[[Session], NumPyClient]:
    """Return what makes the client of a session.

    Args:
        node: ``algorithm.client``.

    Raises:
        UserError: the class does not take the arguments given, or needs others.
    """
    _client_class(node)
    return plugin_maker(CLIENT, node, by_position=1)


def try_in_run(node: Mapping[str, Any], session: Session) -> None:
    """Make one client of a run, to hear now and not in the first round that it does not go with the run's settings.

    Args:
        node: ``algorithm.client``.
        session: as in the first round, but that no message came.

    Raises:
        UserError: the client says so.
    """
    make = client_maker(node)
    try:
        make(session)
    except UserError:
        raise
    except Exception:
        # One that reads the message gets no further.
        return


def try_client(node: Mapping[str, Any]) -> None:
    """Make one client without data, to hear now and not in the first round what it says about its arguments.

    Args:
        node: ``algorithm.client``.

    Raises:
        UserError: it is no client, or refuses its arguments.
    """
    found = _client_class(node)
    refuse_old_methods(CLIENT, node["_target_"], found, "hooks")
    make: Callable[[Any], NumPyClient] = client_maker(node)
    # A constructor that looks at its session gets no further.
    with refusals_told(CLIENT, node), suppress(AttributeError, TypeError):
        make(None)
