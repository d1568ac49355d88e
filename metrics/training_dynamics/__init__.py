"""How do gradients, weights and attention develop while a model trains?"""

from typing import TYPE_CHECKING

from fedlayers.core.lazy_modules import on_first_use

if TYPE_CHECKING:
    from metrics.training_dynamics.attention.visualizer import AttentionVisualizer
    from metrics.training_dynamics.gradients.tracker import GradientTracker

__all__ = ["AttentionVisualizer", "GradientTracker"]
__getattr__ = on_first_use(
    __name__, {"AttentionVisualizer": "attention.visualizer", "GradientTracker": "gradients.tracker"}
)
