"""The contract of objectives: one loss for each example, told with client, round and step where it is none."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from fedlayers.config.compose import compose_config
from fedlayers.config.schema.settings import Config, canonical, identity
from fedlayers.core.errors import ClientFailed, UserError
from fedlayers.core.quantities import Facts, LossFacts
from fedlayers.core.schedule import Step
from fedlayers.objectives.build import build_objective
from fedlayers.objectives.cross_entropy import CROSS_ENTROPY, CrossEntropy
from fedlayers.objectives.objective import ObjectiveError, failures_told, nan_error
from fedlayers.objectives.step_losses import StepLosses
from tests.support import own_objectives
from tests.support.own_objectives import Hinge, Later

Run = Callable[..., Path]
OWN = "tests.support.own_objectives"
OUTPUTS, LABELS = torch.tensor([[1.0, -1.0, 0.5], [0.0, 2.0, -3.0]]), torch.tensor([2, 1])


def own(name: str, *more: str) -> list[str]:
    return ["objective=custom", f"objective._target_={OWN}.{name}", *more]


def test_its_mean_is_that_of_its_losses() -> None:
    hinge = Hinge(scale=3.0)
    assert hinge(OUTPUTS, LABELS).tolist() == [3 * 1.5**2, 0.0]
    assert hinge.mean(OUTPUTS, LABELS).item() == pytest.approx(1.5 * 1.5**2)


@pytest.mark.parametrize(
    ("name", "found"),
    [("scalar", r"got a scalar; leave out a mean"), ("absolute", r"got shape \(2, 3\); leave"), ("int", r"got int; ")],
)
def test_what_is_no_loss_an_example_names_the_objective(name: str, found: str) -> None:
    class Wrong(Hinge):
        def losses(self, outputs: torch.Tensor, labels: torch.Tensor) -> Any:
            return {"scalar": outputs.mean(), "absolute": outputs.abs(), "int": 3}[name]

    for use in (Wrong(), Wrong().mean):
        with pytest.raises(ObjectiveError, match=rf"objective Wrong must give one loss for each example, .*{found}"):
            use(OUTPUTS, LABELS)


def test_whole_numbers_are_no_losses() -> None:
    foreign = build_objective({"_target_": f"{OWN}.whole"})
    with pytest.raises(ObjectiveError, match=r"objective .*whole must give .*, got shape \(2,\) of torch.int64"):
        foreign(OUTPUTS, LABELS)


def test_the_first_nan_of_finite_outputs_is_told_and_a_divergence_is_not() -> None:
    losses, three = StepLosses(Later(1), OUTPUTS.device), OUTPUTS[[0, 1, 0]]
    for number, outputs in enumerate([three, three / 0, three, three], 1):
        losses(outputs, LABELS[[0, 1, 0]], Step(number, 9, 9))
        if number == 2:  # the weights have diverged
            losses.check()
    with pytest.raises(ObjectiveError, match=r"objective Later must give numbers .*, got NaN at step 3; look for"):
        losses.check()


def test_more_about_the_place_becomes_part_of_the_sentence() -> None:
    sentence = r"objective mine must give numbers .* got NaN of client 2; look for"
    with pytest.raises(UserError, match=sentence), failures_told("of client 2"):
        raise nan_error("mine")


def test_a_function_takes_outputs_and_labels_and_its_arguments() -> None:
    found = build_objective({"name": "custom", "_target_": f"{OWN}.absolute", "power": 3.0})
    torch.testing.assert_close(found(OUTPUTS, LABELS), own_objectives.absolute(OUTPUTS, LABELS, 3.0))
    assert (found.name, found.unit, found.low) == (f"{OWN}.absolute", "", -float("inf"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_loss_of_torchs_is_used_in_the_outputs_precision(dtype: torch.dtype) -> None:
    node = {"_target_": "torch.nn.MultiMarginLoss", "reduction": "none", "p": 2}
    outputs = OUTPUTS.to(dtype).requires_grad_()
    found = build_objective(node)(outputs, LABELS)
    torch.testing.assert_close(found, torch.nn.MultiMarginLoss(reduction="none", p=2)(outputs, LABELS))
    weights = torch.tensor([1.0, 2.0, 3.0])
    weighted = build_objective({"_target_": "torch.nn.CrossEntropyLoss", "reduction": "none"})
    weighted._loss.weight = weights  # type: ignore[attr-defined]
    torch.testing.assert_close(weighted(outputs, LABELS), weights.to(dtype)[LABELS] * CROSS_ENTROPY(outputs, LABELS))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (own("nothing"), r"objective\._target_=.*: .*own_objectives has no class or function nothing"),
        (["objective=custom"], r"objective\._target_ has no value yet"),
        (own("Hinge", "+objective.scael=2"), r"objective\.scael: Hinge has no argument 'scael'; did you mean"),
        (
            own("absolute", "+objective.pow=2"),
            r"objective\.pow: absolute has no argument 'pow'; did you",
        ),
        (own("Later"), r"objective\.calls is needed by .*; add \+objective\.calls=<value>"),
        (["objective=custom", "objective._target_=pathlib.Path"], r"objective\._target_ must be an objective, or .*"),
        (["objective=entropy"], r"objective has no option 'entropy'; did you mean objective=cross_entropy"),
        (["objective.name=a/b"], r"objective\.name must be a short text"),
        (
            own("scalar"),
            r"objective .*scalar must give one loss .*, got a scalar of client \d before the first round; ",
        ),
        (own("nan"), r"objective .*nan must give numbers .*, got NaN of client \d before the first round; look"),
        (own("steep"), r"objective .*steep must give numbers .*, got NaN as a slope of client \d before"),
        (own("detached"), r"objective must take .* and be differentiable, got an error from .*detached of client"),
    ],
)
def test_what_cannot_be_minimised_is_refused_before_a_run(
    words: list[str], sentence: str, quick_run: Run, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence):
        quick_run(*words, folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("mean", "found"), [("false", "got NaN"), ("true", "got a scalar")])
def test_what_goes_wrong_in_training_names_client_round_and_step(mean: str, found: str, quick_run: Run) -> None:
    words = own("Later", "+objective.calls=5", f"+objective.mean={mean}", "metrics=[]", "training.steps=3")
    start = r"^client 1 failed in round 1 \(after_local\): objective Later must "
    with pytest.raises(ClientFailed, match=rf"{start}.*{found} at step 3 of client 1 in round 1;.*$"):
        quick_run(*words, "engine=local", "examples_per_client=40")


def test_an_objective_of_ones_own_is_minimised_and_measured(quick_run: Run) -> None:
    run = quick_run(*own("Hinge"), "metrics=[evaluation,gradients]")
    facts = {entry["name"]: entry for entry in json.loads((run / "quantities.json").read_text())["quantities"]}
    assert [facts[name]["unit"] for name in ("loss", "training_loss", "gradient_norm", "accuracy")] == ["1"] * 4
    assert facts["loss"]["reference"] == "own definition"
    assert json.loads((run / "run.json").read_text())["objective"] == "custom"


def test_facts_are_read_in_its_unit() -> None:
    class Bits(Hinge):
        unit, low, high, reference = "bit", -1.0, 5.0, "somewhere"

    loss = LossFacts("loss", "nat", 0.0, 9.0, "lower", "elsewhere")
    square = LossFacts("variance", "nat^2", 0.0, 9.0, "neutral", "elsewhere")
    entropy = Facts("entropy", "nat", 0.0, 9.0, "neutral", "elsewhere")
    first, second, third = Bits().read([loss, square, entropy])
    assert (first.unit, first.limits, first.reference) == ("bit", (-1.0, 5.0), "somewhere")
    assert (second.unit, second.limits, third) == ("bit^2", (0.0, 9.0), entropy)
    assert [one.unit for one in Hinge().read([loss, square])] == ["1", "1"]


def test_cross_entropy_without_more_is_no_part_of_a_runs_identity() -> None:
    plain = compose_config()
    assert "objective" not in canonical(plain)
    # The fields' default, for configurations of old and those made in Python, is the option's.
    made = Config(plain.dataset, plain.partition, plain.model, plain.algorithm, plain.metrics)
    assert made.objective == plain.objective == yaml.safe_load(Path("conf/objective/cross_entropy.yaml").read_text())
    smooth = compose_config(["objective.label_smoothing=0.1"])
    assert canonical(smooth)["objective"]["label_smoothing"] == 0.1 and identity(smooth) != identity(plain)
    assert isinstance(build_objective(plain.objective), CrossEntropy)
