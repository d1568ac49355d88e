"""What is learnt?

Networks: plain torch modules that take the input shape and the number of classes. May import ``core`` and ``config``.
"""

from fedlayers.models.build import build_model

__all__ = ["build_model"]
