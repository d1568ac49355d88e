"""The settings of a run in the words of the chain of metric predictors: its ``params.yaml``."""

import math
from typing import Any

from fedlayers.config.schema.training import Training
from fedlayers.core import VERSION
from fedlayers.opening.run import Run

# Our models that the original has, too.
_MODELS = {
    "mlp": "mlp",
    "deep_mlp": "mlp",
    "greedy_mlp": "greedy",
    "mono_forward": "mono_forward",
    "forward_forward": "forward_forward",
}
# The settings of a chain of layers, ours -> theirs; what a run does not have is left out.
_OF_MODEL = {"similarity": "similarity", "temperature": "tau", "theta": "theta"}
_OF_LEARNER = {"lambda_ace": "lambda_ace", "ace_variant": "ace_variant"}


def parameters(run: Run) -> dict[str, Any]:
    """Return the settings under their names, plain values only, and where the run was, under ``fedlayers``."""
    config, facts = run.config, run.facts
    model, training = config.model, config.training
    learner = config.learner
    steps = steps_a_round(run)
    return {
        "dataset": str(facts["dataset"]).lower(),
        "seed": config.seed,
        "model": _MODELS.get(str(facts["model"]), str(facts["model"])),
        **_size(model),
        **{theirs: model[ours] for ours, theirs in _OF_MODEL.items() if model.get(ours) is not None},
        **{theirs: learner[ours] for ours, theirs in _OF_LEARNER.items() if learner.get(ours) is not None},
        "batch_size": training.batch_size,
        "epochs": facts["rounds"],
        "lr": training.lr,
        "weight_decay": training.weight_decay,
        "scheduler": training.schedule,
        "warmup_ratio": _warmup(training, facts["rounds"], steps),
        "num_workers": 0,
        "metrics_frequency": "epoch",
        "metrics_log_frequency": 1,
        "num_classes": len(facts["classes"]),
        "input_dim": math.prod(facts["shape"]),
        "fedlayers": {
            "version": VERSION,
            "run": facts["run"],
            "study": facts["study"],
            "algorithm": facts["algorithm"],
            "partition": facts["partition"],
            "clients": facts["clients"],
            "local_epochs": training.epochs,
        },
    }


def steps_a_round(run: Run) -> int:
    """Return how many steps a round has for the participant with the most examples."""
    counts = run.partition.query("scope == 'client_train'").groupby("client", dropna=False)["examples"].sum()
    most = counts.sum() if run.facts["algorithm"] == "centralized" else counts.max()
    return run.config.training.length(int(most)).steps


def _size(model: dict[str, Any]) -> dict[str, Any]:
    """Return width and number of layers, where all layers are equally wide."""
    if "width" in model and "layers" in model:
        return {"N": model["width"], "layers": model["layers"]}
    hidden = model.get("hidden") or []
    return {"N": hidden[0], "layers": len(hidden)} if len({*hidden}) == 1 else {}


def _warmup(training: Training, rounds: int, steps: int) -> float:
    """Return the share of training in which the learning rate rises."""
    whole = rounds * steps if training.schedule_by == "step" else rounds
    return training.warmup / whole
