"""What happens layer by layer?

Profiles over the layers of a network. May import what ``figures`` may.
"""
