"""How do clients run on Ray?

Our own Ray or a cluster that was joined, workers that stay, and what each of them is given. May import ``core``,
``config``, ``flower``, ``runs`` and the base of the engines.
"""
