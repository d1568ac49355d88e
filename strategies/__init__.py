"""Strategies: what the server does, as subclasses of Flower's Message API strategies."""
