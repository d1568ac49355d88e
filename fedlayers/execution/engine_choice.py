"""Which engine runs: the one asked for, or for ``auto`` the one that suits the size of the job."""

from fedlayers.config.schema.settings import Config
from fedlayers.core.cost import multiply_adds
from fedlayers.execution.measuring_cost import Timed, cheaper, client_seconds, measuring_seconds
from fedlayers.flower.session import Workspace

# Below this estimate a job is done before Ray and its workers are up and have saved that time again.
TINY_S = 20.0
# One CPU core, roughly: multiply-adds a second in training, and what a step costs however small the network is.
MULTIPLY_ADDS_PER_S = 5e10
STEP_S = 5e-4
# Measuring that takes more than this share of the training is told, and how it could take less.
SHARE = 0.25


def choose(config: Config, workspace: Workspace, timed: Timed = client_seconds) -> tuple[str, str]:
    """Return the engine's name and why it was chosen.

    ``auto`` takes ``local`` for a tiny job, one whose training and measuring are estimated to take less than ``TINY_S``
    seconds on one core, and ``ray`` otherwise. The choice changes no number.

    Args:
        config: the run's configuration.
        workspace: its data, model and metrics.
        timed: how long a metric takes on a client, tried out where it matters.
    """
    if config.engine.name != "auto":
        return config.engine.name, "as asked"
    if config.engine.address is not None:
        return "ray", "engine.address is given"
    example_s = multiply_adds(workspace.module, workspace.federation.blank(1)) / MULTIPLY_ADDS_PER_S
    training = _training_seconds(config, workspace, example_s)
    limit = max(TINY_S - training, SHARE * training)
    costs = measuring_seconds(config, workspace, example_s, limit, timed)
    measuring = sum(costs.values())
    both = training + measuring
    if both < TINY_S:
        told = f"about {max(both, 1):.0f} s of training and measuring"
        return "local", f"a tiny job: {told}, less than starting Ray is worth"
    told = f"about {training:,.0f} s of training"
    if measuring < SHARE * training:
        return "ray", f"{told} on one core"
    dearest = max(costs, key=lambda name: costs[name])
    less = cheaper(dearest, workspace.metrics[dearest], config.rounds)
    most = f"; {dearest} most, less with {less}" if less else ""
    return "ray", f"{told} and {measuring:,.0f} s or more of measuring on one core{most}"


def _training_seconds(config: Config, workspace: Workspace, example_s: float) -> float:
    """Return a rough estimate of the run's training time on one core; an example passes through in ``example_s``."""
    training, federation = config.training, workspace.federation
    if training.steps is not None:
        steps = training.steps * federation.num_clients * config.rounds * config.fraction
        examples = steps * training.batch_size
    else:
        examples = len(federation.pooled_train) * config.rounds * training.epochs * config.fraction
        steps = examples / training.batch_size
    # A backward pass costs about two forward passes.
    return steps * STEP_S + 3 * examples * example_s
