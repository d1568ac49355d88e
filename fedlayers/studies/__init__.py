"""How do many runs go?

The runs of a sweep, what is expected of them, where they stand, and their one table. May import ``execution`` and
what that may.
"""
