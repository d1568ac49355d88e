"""Composition: what wins over what, the forms of the data-set argument, types, what the groups offer."""

from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from fedlayers.config.advice import nearest_key
from fedlayers.config.arguments import read_arguments
from fedlayers.config.compose import compose_config, hydra_ready
from fedlayers.config.options import choices_like, config_dir, known_keys, option_keys, options, options_with
from fedlayers.config.schema.settings import Config, Engine
from fedlayers.config.schema.training import Training
from fedlayers.core.errors import UserError


def compose_weights(*words: str) -> Config:
    return compose_config(["metrics=[weights]", *words])


@pytest.mark.parametrize("word", ["+dataset=FMNIST", "++dataset=FMNIST", "dataset=FMNIST"])
def test_every_form_of_the_data_set_argument(word: str) -> None:
    assert compose_weights(word).dataset["name"] == "FMNIST"


def test_without_arguments_it_is_the_bundled_digits() -> None:
    assert compose_weights().dataset["name"] == "digits"


def test_a_data_set_brings_its_partition_and_model_and_the_command_line_wins() -> None:
    heart = compose_weights("+dataset=Heart")
    assert (heart.partition["name"], heart.model["name"]) == ("natural", "playerfl_heart")
    other = compose_weights("+dataset=Heart", "model=mlp", "partition=iid")
    assert (other.dataset["name"], other.partition["name"], other.model["name"]) == ("Heart", "iid", "mlp")


def test_an_experiment_wins_over_its_data_set_and_the_command_line_over_both(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /dataset: Heart\n  - override /model: mlp\nrounds: 3\n"
    )
    words = read_arguments(["--config-dir", str(tmp_path), "+experiment=mine", "metrics=[weights]"]).overrides
    config = compose_config(words)
    assert (config.dataset["name"], config.partition["name"], config.model["name"]) == ("Heart", "natural", "mlp")
    assert config.rounds == 3
    stronger = compose_config([*words, "model=cnn", "dataset=FMNIST", "rounds=4"])
    assert (stronger.dataset["name"], stronger.model["name"], stronger.rounds) == ("FMNIST", "cnn", 4)


def test_hyper_parameters_reach_the_place_that_reads_them() -> None:
    config = compose_weights("algorithm=fedprox", "algorithm.mu=0.1", "algorithm.server_momentum=0.5")
    assert config.algorithm["client"]["mu"] == 0.1
    assert config.algorithm["strategy"]["server_momentum"] == 0.5


def test_any_strategy_of_flower_by_its_name() -> None:
    target = "flwr.serverapp.strategy.FedYogi"
    config = compose_weights(
        "algorithm=flower", f"algorithm.strategy._target_={target}", "+algorithm.strategy.eta=0.05"
    )
    assert config.algorithm["strategy"] == {"_target_": target, "eta": 0.05}


def test_several_metrics_and_the_settings_common_to_all() -> None:
    config = compose_config(["metrics=[weights,evaluation]"])
    assert set(config.metrics) == {"weights", "evaluation", "on_error", "payload_mb"}
    without = compose_config(["metrics=[weights,evaluation]", "~metrics.weights"])
    assert set(without.metrics) == set(config.metrics) - {"weights"}


def test_the_result_is_typed() -> None:
    config = compose_weights("training.epochs=2", "engine=ray", "engine.workers=3", "clients=null")
    assert isinstance(config.training, Training) and isinstance(config.training.epochs, float)
    assert config.engine == Engine(name="ray", workers=3)
    assert config.clients is None
    assert isinstance(config.metrics, dict) and isinstance(config.metrics["weights"]["rounds"], list)


def test_the_yaml_repeats_the_defaults_of_the_dataclasses() -> None:
    # Otherwise config.yaml would say one thing and Config(...) in Python do another.
    config = compose_weights("engine=auto")
    plain = Config(config.dataset, config.partition, config.model, config.algorithm, config.metrics, config.similarity)
    assert config == plain


def test_every_value_of_the_primary_configuration_is_explained() -> None:
    text = (Path(config_dir()) / "config.yaml").read_text().split("hydra:")[0]
    keys = [line for line in text.splitlines() if ":" in line and not line.lstrip().startswith(("#", "-"))]
    bare = [line for line in keys if "#" not in line and not line.endswith(":")]
    assert bare == []


def test_an_application_of_hydra_around_it_is_left_alone() -> None:
    with initialize_config_dir(config_dir(), version_base="1.3"):
        outer = GlobalHydra.instance().hydra
        assert compose_weights("rounds=2").rounds == 2
        assert GlobalHydra.instance().hydra is outer
        with hydra_ready():
            assert compose("config", ["metrics=[weights]"]).rounds == 10
    assert not GlobalHydra.instance().is_initialized()


def test_a_key_of_an_option_that_is_not_chosen_names_those_that_have_it() -> None:
    assert options_with("algorithm.mu") == ["algorithm=fedprox", "algorithm=moon"]
    with pytest.raises(UserError, match=r"algorithm\.mu belongs to another option .* choose algorithm=fedprox"):
        compose_weights("algorithm.mu=1")


def test_what_the_groups_offer_comes_from_the_files() -> None:
    offered = options()
    assert "hydra" not in offered
    assert {"FMNIST", "Heart", "digits"} <= set(offered["dataset"])
    assert choices_like("fmnist") == ["dataset=FMNIST"]
    assert choices_like("heart_baselines") == ["+experiment=heart_baselines"]
    assert "algorithm.client.mu" in option_keys("algorithm", "fedprox")


def test_known_keys_follow_the_chosen_options() -> None:
    assert "algorithm.mu" not in known_keys(())
    assert "algorithm.mu" in known_keys(["algorithm=fedprox"])
    # A data set's own choice of a model counts, and the command line wins over it.
    channels = next(key for key in option_keys("model", "cnn") if key.endswith("channels"))
    assert channels in known_keys(["dataset=FMNIST"])
    assert channels not in known_keys(["dataset=FMNIST", "model=mlp"])
    assert "metrics.weights.rounds" in known_keys(["metrics=[weights]"])
    assert "metrics.weights.rounds" not in known_keys(["metrics=[evaluation]"])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lr", "training.lr"),
        ("training.LR", "training.lr"),
        ("training/lr", "training.lr"),
        ("momentumm", "training.momentum"),
        ("training.alpha", "partition.alpha"),
        ("num-rounds", "rounds"),
        ("zzz", None),
        ("training.zzz", None),
    ],
)
def test_nearest_key(typed: str, meant: str | None) -> None:
    assert nearest_key(typed, known_keys(())) == meant


def test_experiments_begin_with_their_command() -> None:
    for file in (Path(config_dir()) / "experiment").glob("*.yaml"):
        package, command = file.read_text().splitlines()[:2]
        assert package == "# @package _global_"
        known = yaml.safe_load(file.read_text())
        # One run, or a sweep of several.
        multirun = "-m " if "sweeper" in known.get("hydra", {}) else ""
        assert command == f"# python -m fedlayers {multirun}+experiment={file.stem}"
        assert known["study"] == file.stem


FILES = {
    "experiment": (
        "defaults:\n  - override /dataset: Heart\nrounds: 3\n",
        "conf/experiment/mine.yaml must begin with the line '# @package _global_', so that it can override dataset",
    ),
    "dataset": (
        "defaults:\n  - override /model: mlp\nname: mine\n_target_: x.y\n",
        "conf/dataset/mine.yaml overrides model below its own group; write '- override /model@_global_.model: <opt",
    ),
    "model": ("name: [mine\n", "cannot read a YAML file: .*line 2"),
}


@pytest.mark.parametrize("group", FILES)
def test_mistakes_in_files_of_ones_own(group: str, tmp_path: Path) -> None:
    content, text = FILES[group]
    (tmp_path / group).mkdir()
    (tmp_path / group / "mine.yaml").write_text(content)
    plus = "+" if group == "experiment" else ""
    with pytest.raises(UserError, match=text) as caught:
        compose_weights(*read_arguments([f"{plus}{group}=mine", f"--config-dir={tmp_path}"]).overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            "learning_rate: 3",
            r"^conf/experiment/mine.yaml: no such key 'training.learning_rate'; did you mean training.lr\?$",
        ),
        ("lr: fast", "^conf/experiment/mine.yaml: training.lr must be a number, got fast$"),
        ("augment: crop", r"^conf/experiment/mine.yaml: training.augment must be a list, such as \[a,b\]$"),
    ],
)
def test_mistakes_in_an_experiment_name_the_file(content: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\ntraining:\n  {content}\n")
    with pytest.raises(UserError, match=text):
        compose_weights(*read_arguments(["+experiment=mine", f"--config-dir={tmp_path}"]).overrides)
