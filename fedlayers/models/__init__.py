"""Networks: plain torch modules that take the input shape and the number of classes."""

from fedlayers.models.build import build_model

__all__ = ["build_model"]
