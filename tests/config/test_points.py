"""The runs of a sweep are composed as each would be by itself, and the files of all are read once."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra._internal.sources_registry import SourcesRegistry
from hydra.plugins.config_source import ConfigSource

from fedlayers.config import compose
from fedlayers.config.compose import Points, compose_config, composed, hydra_ready, register_schema, typed
from fedlayers.config.options import config_dir
from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import UserError

RUNS = [
    ["seed=1", "training.lr=0.1"],
    ["seed=2", "training.lr=1e-3", "algorithm=fedprox", "algorithm.mu=0.5"],
    ["algorithm.mu=0.25", "algorithm=fedprox", "seed=3", "training.lr=1"],
    ["dataset=Heart", "rounds=3", "clients=null"],
    ["metrics=[weights,evaluation]", "metrics.weights.rounds=[1,last]", "metrics.weights.moments=[after_local]"],
    ["metrics=[weights]", "metrics.weights.rounds=[all]", "metrics.on_error=raise"],
    ["similarity=[rsa]", "probe.policy=pooled", "probe.size=50"],
    ["model=mlp", "model.hidden=[5,7]", "init='a b'", "study=x-1"],
    ["model=mlp", "model.hidden=[]", "init=null", "study=y"],
    ["algorithm=flower", "algorithm.strategy._target_=flwr.serverapp.strategy.FedYogi", "+algorithm.strategy.eta=0.05"],
    ["engine=ray", "engine.workers=2", "~metrics.curvature"],
    ["split={train: 0.6, val: 0.2, test: 0.2}", "seed=5"],
]  # fmt: skip


def alone(words: Sequence[str]) -> Config:
    """Return what Hydra itself composes: reading each file for each configuration, and without shortcuts."""
    register_schema()
    with initialize_config_dir(config_dir(), job_name="fedlayers", version_base="1.3"):
        return typed(composed(words), words)


def test_every_run_is_composed_as_it_would_be_by_itself() -> None:
    with hydra_ready():
        composing = Points([])
        # Each once more behind the others: nothing of one is left in the next.
        found = [composing.config(words) for words in [*RUNS, *RUNS]]
    expected = [alone(words) for words in RUNS]
    assert found == [*expected, *expected]


def test_runs_that_differ_in_values_share_what_hydra_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def counted(words: Sequence[str]) -> object:
        made.append(list(words))
        return composed(words)

    monkeypatch.setattr(compose, "composed", counted)
    with hydra_ready():
        composing = Points(["hydra.job.name=x"])
        for algorithm in ("fedavg", "local"):
            for seed in range(5):
                composing.config([f"algorithm={algorithm}", f"seed={seed}", f"training.lr={0.1 + seed}"])
    assert made == [["hydra.job.name=x", "algorithm=fedavg"], ["hydra.job.name=x", "algorithm=local"]]


@pytest.mark.parametrize("word", ["training.lrr=1", "training.lr=fast", "seed=-1", "sed=1", "algorithm=fedavgg"])
def test_mistakes_are_told_as_of_a_single_run(word: str) -> None:
    with pytest.raises(UserError) as expected:
        alone([word])
    with hydra_ready(), pytest.raises(UserError) as found:
        Points([]).config([word])
    with pytest.raises(UserError) as told:
        compose_config([word])
    assert str(found.value) == str(told.value) == str(expected.value)


def test_a_list_of_defaults_may_refer_to_what_was_chosen(tmp_path: Path) -> None:
    """Choices are gathered for such a list, though for no other."""
    for path, text in (
        ("partition/mine.yaml", "defaults:\n  - /beside@beside: ${dataset}\nname: mine\n"),
        ("beside/digits.yaml", "width: 3\n"),
    ):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(text)
    with hydra_ready():
        found = composed([f'hydra.searchpath=["file://{tmp_path}"]', "partition=mine"])
    assert found.partition.beside.width == 3


def test_files_that_were_changed_are_read_anew(tmp_path: Path) -> None:
    option = tmp_path / "partition" / "mine.yaml"
    option.parent.mkdir()
    words = [f'hydra.searchpath=["file://{tmp_path}"]', "partition=mine", "rounds=3"]
    for written, name in enumerate(("first", "second")):
        option.write_text(f"name: {name}\n_target_: flwr_datasets.partitioner.IidPartitioner\n")
        os.utime(option, ns=(written, written))
        config = compose_config(words)
        assert (config.partition["name"], config.rounds) == (name, 3)


def test_hydra_reads_a_file_again_when_it_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    with hydra_ready():
        files = SourcesRegistry.instance().resolve("file")
    load = files.load_config

    def noted(source: ConfigSource, config_path: str) -> object:
        read.append(config_path)
        return load(source, config_path)

    monkeypatch.setattr(files, "load_config", noted)
    own = tmp_path / "model" / "small.yaml"
    own.parent.mkdir()
    words = ["model=small", f'hydra.searchpath=["file://{tmp_path}"]']
    for width, expected in ((3, ["model/small"]), (3, []), (4, ["model/small"])):
        own.write_text(f"name: small\n_target_: fedlayers.models.mlp.MLP\nhidden: [{width}]\n")
        os.utime(own, ns=(width, width))
        read.clear()
        with hydra_ready():
            content = composed(words)
        assert content.model.hidden == [width]
        assert [path for path in read if path == "model/small"] == expected
    assert read == ["model/small"]
