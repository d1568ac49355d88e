"""Where do clients run?

Flower Grids that carry messages to clients; all give the same numbers. May import ``core``, ``config``, ``flower`` and
``runs``.
"""
