"""How do other programs get what a run has found?

A module for each format, chosen by ``export=``. May import what stands above it.
"""
