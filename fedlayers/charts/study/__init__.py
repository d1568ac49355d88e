"""What does the explorer show of several runs?

A line for each run, curves with intervals over seeds, and the comparison of algorithms. May import what ``charts`` may.
"""
