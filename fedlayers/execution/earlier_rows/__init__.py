"""What was measured of the same model before, and what of the end of a run is known from its rounds?"""
