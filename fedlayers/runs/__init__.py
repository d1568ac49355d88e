"""What does a run keep?

Its folder, lock, parts, checkpoint, clients' states and snapshots. May import ``core``, ``config`` and ``flower``.
"""
