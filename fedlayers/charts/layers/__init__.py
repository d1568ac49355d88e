"""What is measured of layers, of whom, and why are they shared?

Charts of the view Layers. May import what ``charts`` may.
"""
