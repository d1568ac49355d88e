"""The experiments that compare personalised algorithms: PLayer-FL's settings, and one that is done in minutes."""

from pathlib import Path

import pytest
import yaml

import fedlayers
from fedlayers.config.compose import compose_config
from fedlayers.config.options import config_dir, options
from tests.support.data_configs import REAL_DATA, needs_real_data

FOLDER = Path(config_dir()) / "experiment" / "player_fl"
# Model, clients, examples a client, rounds, batch, learning rates and seeds of PLayer-FL's release.
ORIGINAL = {
    "FMNIST": ("playerfl_fmnist", 5, 2000, 100, 128, (1e-3, [5e-3, 1e-3, 5e-4, 1e-4]), 20),
    "EMNIST": ("playerfl_fmnist", 5, 3000, 75, 128, (1e-3, [5e-3, 1e-3, 5e-4, 1e-4]), 10),
    "CIFAR10": ("playerfl_cifar10", 5, 10_000, 100, 128, (1e-3, [5e-3, 1e-3, 5e-4]), 10),
    "Heart": ("playerfl_heart", None, None, 20, 32, (5e-2, [0.5, 0.1, 0.05, 0.01]), 50),
}


# Of data for which one needs a licence: model, rounds, batch, learning rate, seeds, focal loss (gamma and alpha), and
# what is chosen of the data.
LICENSED: dict[str, tuple[str, int, int, float, int, tuple[float, list[float]] | None, dict[str, object]]] = {
    "ISIC": (
        *("playerfl_isic", 60, 128, 1e-3, 5, (1.0, [0.879, 0.881, 0.828, 0.412])),
        {"classes": ["BCC", "BKL", "MEL", "NV"], "per_centre": 5000, "side": 200},
    ),
    "Sent140": ("playerfl_text", 50, 64, 1e-3, 10, None, {"length": 119}),
    "MIMIC": ("playerfl_text", 25, 64, 1e-4, 10, (1.0, [0.15, 0.85]), {"length": 512}),
}


def swept(name: str) -> dict[str, str]:
    """Return what the experiment sweeps over."""
    found: dict[str, str] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())["hydra"]["sweeper"]["params"]
    return found


@pytest.mark.parametrize("name", ORIGINAL)
def test_settings_are_the_originals(name: str) -> None:
    model, clients, examples, rounds, batch, (lr, grid), seeds = ORIGINAL[name]
    config = compose_config([f"+experiment=player_fl/{name}"])
    assert (config.dataset["name"], config.model["name"], config.study) == (name, model, f"player_fl_{name}")
    assert (config.clients, config.examples_per_client, config.rounds) == (clients, examples, rounds)
    training, split = config.training, config.split
    assert (training.optimizer, training.lr, training.weight_decay, training.batch_size) == ("adam", lr, 1e-4, batch)
    assert training.epochs == 1 and (split.train, split.val, split.test) == (0.64, 0.16, 0.2)
    assert [float(one) for one in swept(name)["training.lr"].split(",")] == grid
    assert swept(name)["seed"] == f"range({seeds})"
    if name != "Heart":
        assert config.partition["name"] == "dirichlet" and config.partition["alpha"] == 0.5


@pytest.mark.parametrize("name", LICENSED)
def test_settings_of_licensed_data_are_the_originals(name: str) -> None:
    model, rounds, batch, lr, seeds, focal, data = LICENSED[name]
    config = compose_config([f"+experiment=player_fl/{name}"])
    assert (config.dataset["name"], config.model["name"], config.study) == (name, model, f"player_fl_{name}")
    training, split, objective = config.training, config.split, config.objective
    found = (config.rounds, training.batch_size, training.lr, training.weight_decay, training.optimizer)
    assert found == (rounds, batch, lr, 1e-4, "adamw") and training.epochs == 1
    assert (split.train, split.val, split.test) == (0.64, 0.16, 0.2)
    found_loss = (objective["gamma"], objective["alpha"]) if objective["name"] == "focal" else None
    assert found_loss == focal and {key: config.dataset[key] for key in data} == data
    assert len(swept(name)["seed"].split(",")) == seeds
    if name == "ISIC":
        assert len(config.dataset["centres"]) == 4


def test_hospitals_have_the_originals_focal_loss() -> None:
    objective = compose_config(["+experiment=player_fl/Heart"]).objective
    assert (objective["name"], objective["gamma"]) == ("focal", 3.0)
    assert objective["alpha"] == [0.129, 0.181, 0.223, 0.224, 0.243]


def test_the_quick_one_runs_all_algorithms_that_can_run() -> None:
    # Flower's needs a strategy to be named, and FedBN layers that normalise.
    others = {"flower", "fedbn"}
    asked = swept("quick")["algorithm"].split(",")
    assert len(asked) == len({*asked}) and {*asked} == {*options()["algorithm"]} - others


@needs_real_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["FMNIST", "Heart"])
def test_a_round_of_the_original_runs_on_real_data(name: str, tmp_path: Path) -> None:
    words = [f"+experiment=player_fl/{name}", "rounds=1", f"results_dir={tmp_path}", f"data_dir={REAL_DATA}"]
    words += ["examples_per_client=100", "server_test.examples=100"] if name == "FMNIST" else []
    final = fedlayers.run([*words, "engine=local", "figures=false", "progress=none"]).records.query("moment == 'final'")
    assert final.loc[final["metric"] == "loss", "value"].gt(0).all()
