"""Figures of runs and studies, as PNG and PDF files that can go into a paper."""

from fedlayers.figures.draw import draw_main

__all__ = ["draw_main"]
