"""How is a run read back?

Its tables as pandas frames, its facts, whether it is complete. May import ``runs`` and what that may.
"""
