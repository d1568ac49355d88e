"""What do layers, taken as a chain, show?

The three answers, and metrics of layers over depth, time, runs and models. May import what ``figures`` may.
"""
