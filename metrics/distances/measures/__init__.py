"""How far apart are two layers, models or clients?

A distance between weights or representations a file, found by its place: ``BUILT_IN`` holds what makes its metrics.
"""
