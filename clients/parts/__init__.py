"""Participants that train, keep or adapt parts of the model apart: its body, its head, or all of it once more."""
