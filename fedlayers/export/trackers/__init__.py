"""How does a run come into the trackers that people already use?

A module for each, TensorBoard, Weights & Biases, MLflow; all are given :mod:`fedlayers.export.trackers.values`.
"""
