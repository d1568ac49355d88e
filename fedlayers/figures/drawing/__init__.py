"""What do figures of all subjects share?

Looks, scales, axes, legends, grids of panels, heat maps and lines with bands. May import what ``figures`` may, and
nothing of its other folders.
"""
