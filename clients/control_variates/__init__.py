"""Participants that correct their gradients, or measure how far they went: what keeps clients from drifting apart."""
