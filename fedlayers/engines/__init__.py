"""Engines: Flower Grids that carry messages to clients; all give the same numbers."""
