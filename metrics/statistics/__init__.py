"""How sure is a value?

Jackknives, chance levels and standard errors, and statistics of weights and scores.
"""
