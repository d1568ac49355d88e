"""Participants that mix models: the one that came with their own, with others', or with their own examples."""
