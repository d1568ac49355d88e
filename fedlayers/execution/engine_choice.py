"""Which engine runs: the one asked for, or for ``auto`` the one that suits the size of the job."""

from torch import nn

from fedlayers.config.settings import Config
from fedlayers.core.federation import Federation
from fedlayers.models.cost import multiply_adds

# Below this estimate a job is done before Ray and its workers are up and have saved that time again.
TINY_S = 20.0
# One CPU core, roughly: multiply-adds a second in training, and what a step costs however small the network is.
MULTIPLY_ADDS_PER_S = 5e10
STEP_S = 5e-4


def choose(config: Config, federation: Federation, module: nn.Module) -> tuple[str, str]:
    """Return the engine's name and why it was chosen.

    ``auto`` takes ``local`` for a tiny job, one whose training is estimated to take less than ``TINY_S`` seconds on one
    core, and ``ray`` otherwise. The choice changes no number.
    """
    if config.engine.name != "auto":
        return config.engine.name, "as asked"
    if config.engine.address is not None:
        return "ray", "engine.address is given"
    seconds = _training_seconds(config, federation, module)
    if seconds < TINY_S:
        return "local", f"a tiny job: about {max(seconds, 1):.0f} s of training, less than starting Ray is worth"
    return "ray", f"about {seconds:,.0f} s of training on one core"


def _training_seconds(config: Config, federation: Federation, module: nn.Module) -> float:
    """Return a rough estimate of the run's training time on one core."""
    training = config.training
    if training.steps is not None:
        steps = training.steps * federation.num_clients * config.rounds * config.fraction
        examples = steps * training.batch_size
    else:
        examples = len(federation.pooled_train) * config.rounds * training.epochs * config.fraction
        steps = examples / training.batch_size
    # A backward pass costs about two forward passes.
    return steps * STEP_S + 3 * examples * multiply_adds(module, federation.shape) / MULTIPLY_ADDS_PER_S
