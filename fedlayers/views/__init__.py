"""Which rows does a chart show, and under which names?

Pandas only, nothing is drawn. May import ``runs`` and ``statistics``.
"""
