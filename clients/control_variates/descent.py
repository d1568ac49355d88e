"""How far local training goes along a gradient, for algorithms that turn an update back into a mean gradient."""

from clients.schedules import Rate
from fedlayers.config.schema.training import Training
from fedlayers.core.checks import check
from fedlayers.core.schedule import Step
from fedlayers.flower.session import Session


def length(training: Training, rate: Rate, steps: int) -> float:
    """Return a, with which w − w' = a ḡ: ḡ a weighted mean of the gradients on the way from w to w'.

    Step s moves the weights by η_s b_s, b_s = µ b_{s−1} + g_s; with equal gradients g_s = ḡ all steps together move
    them by a ḡ, a = Σ η_s (1 + µ + … + µ^{s−1}). Without momentum a is the number of steps times the learning rate.

    Args:
        training: the momentum µ.
        rate: η_s.
        steps: how many there were.

    References:
        Wang et al. 2020, Tackling the Objective Inconsistency Problem, NeurIPS (arXiv 2007.07481), section 3.
    """
    velocity, total = 0.0, 0.0
    for number in range(1, steps + 1):
        velocity = training.momentum * velocity + 1
        total += velocity * (rate(Step(number, steps, steps)) if callable(rate) else rate)
    return total


def check_descent(session: Session) -> None:
    """Raise UserError if local training is not SGD that starts afresh; without a session nothing is known."""
    if session is not None:
        training, why = session.workspace.config.training, "the algorithm reads gradients out of updates"
        check(training.optimizer == "sgd", "training.optimizer", "sgd with this algorithm", training.optimizer, why)
        fresh = training.optimizer_state == "fresh"
        check(fresh, "training.optimizer_state", "fresh with this algorithm", training.optimizer_state, why)
