"""How do runs differ?

Curves and profiles of several runs. May import what ``figures`` may.
"""
