"""What this machine is called."""

import socket

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def own_names() -> list[str]:
    """Return the names by which this machine calls itself."""
    return list(dict.fromkeys([socket.gethostname(), socket.getfqdn()]))
