"""What is found out about a model before there is a run folder, and what is only remarked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fedlayers
from fedlayers.core.errors import UserError
from metrics.base import ClientView, Measurement, Metric


class Two(nn.Module):
    """Two layers and something done to the outputs."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, hidden: Any = None, dropout: Any = None) -> None:
        super().__init__()
        self.first = nn.Linear(64, 8)
        self.last = nn.Linear(8, num_classes)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        return self.outputs(self.last(self.first(features.flatten(1)).relu()))

    def outputs(self, logits: Tensor) -> Tensor:
        return logits


class Detached(Two):
    def outputs(self, logits: Tensor) -> Tensor:
        return logits.detach()


class InPlace(Two):
    def forward(self, features: Tensor) -> Tensor:
        hidden = self.first(features.flatten(1)).exp()
        hidden += 1
        return self.last(hidden)  # type: ignore[no-any-return]


class Probabilities(Two):
    def outputs(self, logits: Tensor) -> Tensor:
        return logits.softmax(1)


class Sigmoid(Two):
    def outputs(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()


class Infinite(Two):
    def outputs(self, logits: Tensor) -> Tensor:
        return logits / 0


class Random(Two):
    def outputs(self, logits: Tensor) -> Tensor:
        return nn.functional.dropout(logits)


class Mixing(Two):
    def outputs(self, logits: Tensor) -> Tensor:
        return logits - logits.mean(0)


class Counting(Two):
    calls: Tensor

    def outputs(self, logits: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return logits * self.calls


class Broken(Metric):
    """Asks torch for what it cannot do."""

    def client(self, view: ClientView) -> Measurement:
        raise NotImplementedError("no such derivative")


def model(part: type) -> str:
    return f"model._target_=tests.measuring.test_try_out.{part.__name__}"


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        (Detached, r"model must be one that can be trained, got an error from a step of Detached on 2 examples: elem"),
        (InPlace, r"model must be one that can be trained, .* modified by an inplace operation"),
    ],
)
def test_a_model_that_cannot_be_trained_leaves_no_folder(
    part: type, sentence: str, quick_run: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence):
        quick_run(model(part), folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        (Two, None),
        (Probabilities, "outputs are positive and sum to 1: the objective takes logits"),
        (Sigmoid, "outputs lie between 0 and 1 whatever the examples"),
        (Infinite, "outputs on the first examples are NaN or infinite before any training"),
        (Random, "outputs for the same examples differ in evaluation mode"),
        (Mixing, "outputs for an example depend on the other examples of its batch"),
        (Counting, "changes its buffers in evaluation mode"),
    ],
)
def test_strange_outputs_are_remarked(
    part: type, sentence: str | None, quick_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    quick_run(model(part), "rounds=1", "clients=2", "metrics=[evaluation,gradients]")
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: the model")]
    assert len(notes) == (sentence is not None) and all(sentence and sentence in line for line in notes)


def test_examples_that_mix_have_no_gradients_of_their_own(quick_run: Callable[..., Path]) -> None:
    rows: Any = fedlayers.read(quick_run(model(Mixing), "rounds=1", "clients=2", "metrics=[gradients]")).records
    norms = rows[rows.metric == "gradient_norm"]
    assert set(norms.layer.dropna()) == {"first", "last"} and set(norms.status) == {"missing"}
    assert norms.reason.str.startswith("examples must not influence each other").all()


def test_every_metric_sees_the_buffers_of_before(quick_run: Callable[..., Path]) -> None:
    """Outputs are logits · calls: with buffers put back, a metric measured after another has the same values."""
    alone: Any = fedlayers.read(quick_run(model(Counting), "rounds=1", "clients=2", "metrics=[sensitivity]",
                                          "metrics.sensitivity.batch_examples=8")).records  # fmt: skip
    after: Any = fedlayers.read(quick_run(model(Counting), "rounds=1", "clients=2", "metrics=[evaluation,sensitivity]",
                                          "metrics.sensitivity.batch_examples=8")).records  # fmt: skip
    chosen = [rows[rows.metric == "sensitivity"].sort_values(["client", "layer"]).value.tolist()
              for rows in (alone, after)]  # fmt: skip
    assert chosen[0] == chosen[1] and chosen[0]


def test_a_metric_that_must_not_fail_is_tried_before_the_folder(quick_run: Callable[..., Path], tmp_path: Path) -> None:
    words = ["+metrics.broken._target_=tests.measuring.test_try_out.Broken", "metrics=[evaluation]"]
    with pytest.raises(UserError, match=r"metrics\.broken cannot be measured on this model: no such derivative; leave"):
        quick_run(*words, "metrics.on_error=raise", folder=tmp_path)
    assert not list(tmp_path.iterdir())
    rows: Any = fedlayers.read(quick_run(*words, "rounds=1", folder=tmp_path)).records
    assert set(rows[rows.metric == "broken"].status) == {"missing"}


def test_metrics_that_can_be_measured_pass_their_rehearsal(quick_run: Callable[..., Path]) -> None:
    quick_run(
        "rounds=1",
        "clients=2",
        "metrics=[curvature,originals,gradients,representation,sensitivity]",
        "metrics.on_error=raise",
        "metrics.curvature.density_runs=0",
        "probe.size=32",
    )
