"""How far apart are two layers, models or clients?

A distance a file.
"""
