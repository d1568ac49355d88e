"""A study of two small runs that can be compared: the same clients federated and each by itself, all models kept."""

from pathlib import Path

from fedlayers.config.compose import compose_config
from fedlayers.execution.execute import execute
from tests.conftest import QUICK

WORDS = [
    *(word for word in QUICK if not word.startswith(("clients", "metrics", "examples"))),
    *("clients=3", "examples_per_client=80", "metrics=[evaluation]", "engine=local", "training.epochs=3"),
    *("plant.kind=permuted_labels", "plant.groups=3", "snapshots.rounds=[all]", "snapshots.clients=true"),
]


def write_compared_runs(
    results: Path, algorithms: tuple[str, ...] = ("fedavg", "local"), model: str = "mlp"
) -> list[Path]:
    """Carry the runs out and return their folders."""
    words = [word for word in WORDS if model == "mlp" or not word.startswith("model.")]
    where = [f"results_dir={results}", "study=compared", f"model={model}"]
    return [execute(compose_config([*words, *where, f"algorithm={algorithm}"])) for algorithm in algorithms]
