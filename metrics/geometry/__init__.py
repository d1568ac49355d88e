"""The geometry of one representation - its dimension, its entropy, its classes - as functions of tensors."""
