"""How do clients learn, and how do they differ?

Curves, matrices and clusters. May import what ``figures`` may.
"""
