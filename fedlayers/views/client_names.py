"""What the clients of a figure are called."""

from collections.abc import Mapping
from typing import Any

import pandas as pd


def client_names(facts: Mapping[str, Any], *clients: "pd.Series[Any]") -> dict[int, str]:
    """Return client -> name of the clients in some columns, ascending; the number is the name of one that has none.

    Args:
        facts: run facts, of which ``client_names`` are the names by number.
        clients: numbers, or absent for the server.
    """
    known = facts.get("client_names") or []
    found = sorted({int(client) for column in clients for client in column.dropna().unique()})
    return {client: str(known[client]) if client < len(known) else str(client) for client in found}


def client_list(names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return clients as pages list them: number and name of each.

    Args:
        names: client -> name, in the order of the list.
    """
    return [{"client": client, "name": name} for client, name in names.items()]
