"""How are metrics run?

On the server, and once before the run to see that they do not fail. May import ``core``, ``config``, ``flower``,
``runs`` and ``metrics``.
"""
