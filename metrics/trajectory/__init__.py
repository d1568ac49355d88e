"""How parameters move over rounds: the server's way, and the clients' updates along it."""
