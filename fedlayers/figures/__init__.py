"""What does a run look like?

Figures of runs and studies, as PNG and PDF files that can go into a paper. May import ``core``, ``runs``,
``statistics`` and ``views``.
"""

from fedlayers.figures.draw import draw_main

__all__ = ["draw_main"]
