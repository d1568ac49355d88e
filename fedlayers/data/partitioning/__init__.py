"""Who gets which examples?

Partitioners, planted groups, splits into scopes. May import ``core``, ``config`` and ``data``.
"""
