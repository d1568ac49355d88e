"""Training dynamics in a federation: gradients, weights and updates of every layer while each client trains."""

from collections.abc import Sequence

from fedlayers.core.layers import Layer
from metrics.base import Metric
from metrics.tracking.follower import LocalTraining
from metrics.training_dynamics.gradients.layer_looks import LayerLooks
from metrics.training_dynamics.gradients.rows import FACTS


class TrainingDynamics(Metric):
    """Norms of gradients, weights and updates, dead units and alarms, by client, layer and round.

    At steps 1, 1 + k, 1 + 2k, … of each local training, with g the gradient along which the step went (an algorithm's
    own terms included, clipped), w the weights before it and Δw what it changed, each of one layer of n numbers:

    - step_gradient_norm, step_gradient_norm_max: mean and largest ‖g‖ over these steps.
    - step_gradient_rms: mean of ‖g‖ / √n.
    - step_weight_norm: mean of ‖w‖.
    - update_ratio: mean of ‖Δw‖ / ‖w‖.
    - dead_unit_share: share of the units no weight of which had a gradient at any of the steps of a window; mean over
      windows.
    - weight_histogram: counts of the weights without biases, in 50 bins, before the first round (``step`` 0) and after
      the first, the middle and the last round.
    - gradient_alarms: windows in which something was wrong, ``subject`` says what, see
      :func:`metrics.training_dynamics.gradients.alarms.alarms_in`.
    - gradient_alarm_epoch: an alarm that began, ``step`` says at which step of the round, the value in which pass over
      the client's examples.

    Of an algorithm that trains two models both are followed, and the column ``model`` tells them apart. Where a step of
    one is several (pFedMe's personal model), the gradient is the last one's and the change that of all.

    Args:
        every: k, steps from one look to the next, 1 or more.
        window: looks in a window, 1 or more.
        rounds, moments: see :class:`metrics.base.Metric`; training leads to ``after_local``, there is no other.
    """

    # The norm at the end of an epoch is a tracker's.
    facts = tuple(fact for fact in FACTS if fact.name != "norm")

    def __init__(
        self,
        every: int = 50,
        window: int = 10,
        rounds: Sequence[str | int] = ("all",),
        moments: Sequence[str] = ("after_local",),
    ) -> None:
        super().__init__(rounds, moments)
        for name, value in (("every", every), ("window", window)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value!r}")
        if list(moments) != ["after_local"]:
            raise ValueError(f"moments must be [after_local], to which training leads, got {list(moments)}")
        self.every, self.window = every, window

    def follow(self, layers: Sequence[Layer], training: LocalTraining) -> LayerLooks:
        """Return what looks at every k-th step of one local training, in some rounds at the weights, too."""
        return LayerLooks(layers, self.every, self.window, training)
