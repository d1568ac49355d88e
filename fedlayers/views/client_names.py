"""What the clients of a figure are called."""

from collections.abc import Mapping
from typing import Any

import pandas as pd


def client_names(rows: pd.DataFrame, facts: Mapping[str, Any]) -> dict[int, str]:
    """Return client -> name of the clients in the rows, ascending; the number is the name of one that has none."""
    known = facts.get("client_names") or []
    clients = sorted(int(client) for client in rows["client"].dropna().unique())
    return {client: str(known[client]) if client < len(known) else str(client) for client in clients}
