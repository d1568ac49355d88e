"""What does ``python -m fedlayers.chain`` do?

A module for each of its commands. May import everything.
"""
