"""Metrics: pure functions on arrays and tensors, and the thin classes that say what they need."""
