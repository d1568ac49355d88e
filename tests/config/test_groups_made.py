"""Groups that runs have in common are made once, and are what OmegaConf makes of each."""

import pytest
from omegaconf import DictConfig, OmegaConf

from fedlayers.config.compose import composed, hydra_ready
from fedlayers.config.groups_made import GroupsMade
from fedlayers.config.schema.settings import Config

OTHERS = [
    ["seed=3"],
    ["training.lr=0.25", "algorithm=fedprox", "algorithm.mu=0.5"],
    ["similarity=[rsa]", "metrics=[similarity]"],
    ["similarity=[cka]", "metrics=[similarity]"],
    # References to a value of the top, to another group, through one, to itself, and where the name is a value, too.
    ["training.epochs=${rounds}", "rounds=7"],
    ["training.epochs=${rounds}", "rounds=9"],
    ["+metrics.mine={a: '${training.lr}'}", "training.lr=0.5"],
    ["+metrics.mine={a: '${training.lr}'}", "training.lr=0.125"],
    ["+metrics.mine={a: '${algorithm.mu}'}", "algorithm=fedprox", "algorithm.mu='${training.lr}'", "training.lr=2"],
    ["+metrics.mine={a: '${algorithm.mu}'}", "algorithm=fedprox", "algorithm.mu='${training.lr}'", "training.lr=4"],
    ["+model.mine={a: '${..seed}', b: '${...seed}'}", "+model.seed=1", "seed=1"],
    ["+model.mine={a: '${..seed}', b: '${...seed}'}", "+model.seed=1", "seed=2"],
    ["+metrics.mine={a: '${${study}.lr}'}", "study=training", "training.lr=3"],
    ["+metrics.mine={a: '${${study}.lr}'}", "study=training", "training.lr=5"],
]  # fmt: skip


def content(words: list[str]) -> DictConfig:
    found = composed(words)
    OmegaConf.set_struct(found, False)
    del found["hydra"]
    return found


def config(made: GroupsMade, one: DictConfig) -> Config:
    plain = OmegaConf.to_container(one)
    assert isinstance(plain, dict)
    return made.config(one, {str(name): value for name, value in plain.items()})


@pytest.fixture(scope="module")
def contents() -> list[DictConfig]:
    with hydra_ready():
        return [content(words) for words in OTHERS]


def test_groups_are_what_omegaconf_makes_of_each_configuration(contents: list[DictConfig]) -> None:
    made = GroupsMade()
    expected = [OmegaConf.to_object(one) for one in contents]
    for one, own in zip([*contents, *contents], [*expected, *expected], strict=True):
        assert config(made, one) == own
    assert len({repr(one) for one in expected}) == len(OTHERS)


def test_what_a_resolver_says_is_asked_for_every_run(
    contents: list[DictConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, own = GroupsMade(), contents[0].copy()
    OmegaConf.update(own, "metrics.mine", {"a": "${oc.env:FEDLAYERS_TRIED}"}, force_add=True)
    for value in ("1", "2"):
        monkeypatch.setenv("FEDLAYERS_TRIED", value)
        assert config(made, own).metrics["mine"] == {"a": value}


def test_runs_do_not_share_what_can_be_changed(contents: list[DictConfig]) -> None:
    made = GroupsMade()
    first, second = (config(made, contents[0]) for _ in range(2))
    first.metrics["mine"] = {}
    assert "mine" not in second.metrics and first.training is not second.training
