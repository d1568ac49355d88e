"""What does a user call?

A module for each ``python -m fedlayers.<command>``, and the one place where mistakes become sentences. May import
everything.
"""
