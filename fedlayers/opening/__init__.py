"""What did a run leave?

Its folder opened again: configuration, data, models and tables, and its models tested. May import what reads a run's
folder, data and models.
"""
