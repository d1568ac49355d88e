"""How far apart are many models at once?

All pairs from one Gram matrix of their weights.
"""
