"""Steps that are recorded and done again come to the same bytes as steps that are taken one after the other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from clients.cohorts import graphs, training
from clients.cohorts.jobs import TrainingJob
from clients.following import Following
from clients.learners.base import Hooks
from clients.learners.end_to_end import EndToEnd
from clients.schedules import scheduled
from clients.training import LocalResult
from fedlayers.config.schema.training import Training
from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of
from fedlayers.core.records import Resource
from fedlayers.objectives.objective import Objective
from metrics.training_dynamics.federated import TrainingDynamics
from tests.clients.test_cohorts import (
    HookMaker,
    Rows,
    Seen,
    assert_alike,
    job,
    mlp,
    no_hooks,
    normed,
    own_hooks,
    same_hooks,
    train_together,
    weights_after,
)
from tests.support.tensor_recorder import TensorRecorder

SETTINGS = {
    "sgd": Training(batch_size=8, epochs=3, weight_decay=0.1),
    "plain sgd": Training(batch_size=8, steps=4, momentum=0.0),
    "clipped": Training(batch_size=8, epochs=2, clip_norm=0.3),
    "adam": Training(optimizer="adam", batch_size=8, epochs=2, weight_decay=0.1),
    "adamw": Training(optimizer="adamw", batch_size=8, epochs=2, weight_decay=0.1),
    "scheduled": Training(batch_size=8, epochs=2, schedule="cosine", schedule_by="step"),
}


@pytest.fixture
def recorder() -> Iterator[TensorRecorder]:
    """Record the steps of cohorts, on a CPU, too."""
    graphs._last.clear()
    found = TensorRecorder()

    def recorder_of(one: TrainingJob) -> TensorRecorder | None:
        return found if one.training.graphs == "auto" else None

    with mock.patch.object(graphs, "recorder_of", recorder_of), mock.patch.object(training, "recorder_of", recorder_of):
        yield found
    graphs._last.clear()


def trained(jobs: Sequence[TrainingJob]) -> list[LocalResult]:
    found = train_together(jobs)
    assert all(isinstance(one, LocalResult) for one in found), found
    return [one for one in found if isinstance(one, LocalResult)]


def jobs_of(
    make: Callable[[], nn.Module], settings: Training, hooks: HookMaker = no_hooks, counts: Sequence[int] = (24, 16, 30)
) -> list[list[TrainingJob]]:
    """Return two cohorts, one after the other, of one module in single precision."""
    module = make()
    found = [
        [job(client + extra, module, settings, hooks, counts=[*counts, *counts]) for client in range(len(counts))]
        for extra in (0, 2)
    ]
    for one in (one for jobs in found for one in jobs):
        examples = one.examples
        assert isinstance(examples, Rows) and isinstance(one.learner, EndToEnd)
        object.__setattr__(examples, "features", examples.features.float())
        if settings.schedule != "constant":
            one.learner.lr = scheduled(settings, 1, 2)
    return found


def assert_same_bytes(one: TrainingJob, other: TrainingJob) -> None:
    for (name, tensor), own in zip(weights_after(one).items(), weights_after(other).values(), strict=True):
        assert torch.equal(tensor, own), name


@pytest.mark.parametrize("make", [mlp, normed])
@pytest.mark.parametrize("name", SETTINGS)
def test_done_again_steps_come_to_the_same_bytes(
    make: Callable[[], nn.Module], name: str, recorder: TensorRecorder
) -> None:
    """Some batches are short, and one client has more steps: those are not recorded."""
    torch.manual_seed(0)
    again = jobs_of(make, SETTINGS[name])
    torch.manual_seed(0)
    plain = jobs_of(make, replace(SETTINGS[name], graphs="off"))
    for cohort, expected in zip(again, plain, strict=True):
        results, others = trained(cohort), trained(expected)
        assert results == others and {one.remark for one in results} == {""}
        for one, other in zip(cohort, expected, strict=True):
            assert_same_bytes(one, other)
    # One shape, recorded for the first cohort and used by the second, too.
    assert recorder.recorded == 1 and recorder.replayed >= 5


def test_a_common_loss_is_recorded_with_each_cohorts_reference(recorder: TensorRecorder) -> None:
    torch.manual_seed(0)
    again = jobs_of(mlp, SETTINGS["sgd"], same_hooks)
    torch.manual_seed(0)
    plain = jobs_of(mlp, replace(SETTINGS["sgd"], graphs="off"), same_hooks)
    for cohort, expected in zip(again, plain, strict=True):
        trained(cohort), trained(expected)
        for one, other in zip(cohort, expected, strict=True):
            assert_same_bytes(one, other)
    assert recorder.recorded == 1


def test_optimizers_go_on_from_what_each_client_remembers(recorder: TensorRecorder) -> None:
    for optimizer in ("sgd", "adam"):
        settings = Training(optimizer=optimizer, batch_size=8, epochs=2, optimizer_state="carried")
        torch.manual_seed(0)
        again = jobs_of(mlp, settings)[0]
        torch.manual_seed(0)
        plain = jobs_of(mlp, replace(settings, graphs="off"))[0]
        for _ in range(2):
            trained(again), trained(plain)
        for one, other in zip(again, plain, strict=True):
            assert_same_bytes(one, other)


def test_a_client_by_itself_is_recorded_as_a_cohort_of_one(recorder: TensorRecorder) -> None:
    torch.manual_seed(0)
    module = mlp().double()
    one, other = (job(0, module, SETTINGS["sgd"], counts=(24,)) for _ in range(2))
    (result,) = trained([one])
    assert recorder.replayed == 10 and result.remark == ""
    assert_alike(one, other, (result, other.done_alone()))


def test_what_follows_a_training_sees_recorded_steps_as_others(recorder: TensorRecorder) -> None:
    settings = replace(SETTINGS["sgd"], clip_norm=0.3)
    seen = []
    for graphs_setting in ("auto", "off"):
        torch.manual_seed(0)
        (first, second) = jobs_of(mlp, replace(settings, graphs=graphs_setting))
        for cohort in (first, second):
            followed = [replace(one, observers=[followed_by_dynamics(one)]) for one in cohort]
            assert {one.remark for one in trained(followed)} == {""}
        # Of the second cohort, which takes over the first one's places; times differ.
        rows = [one.observers[0].rows() for one in followed if isinstance(one.observers[0], Following)]
        seen.append([[row for row in own if not isinstance(row, Resource)] for own in rows])
    assert recorder.replayed and seen[0] == seen[1] and len(seen[0]) == 3 and all(seen[0])


def followed_by_dynamics(one: TrainingJob) -> Following:
    module = one.learner.networks[0].module
    config = SimpleNamespace(metrics={"on_error": "raise"})
    workspace = SimpleNamespace(config=config, layers=layers_of(module))
    session: Any = SimpleNamespace(workspace=workspace, round=1, last_round=1)
    return Following(session, {"dynamics": TrainingDynamics(every=2)}, one.learner.networks[0])


class Own(Objective):
    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return outputs.square().sum(1)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"observers": [Seen()]}, "something looks on at every step"),
        ({"hooks": own_hooks}, "the algorithm changes gradients by code of its own"),
        ({"hooks": lambda *_: Hooks({}, lambda *_: None)}, "the algorithm adds a loss of each client by code"),
        ({"objective": Own()}, "the objective is asked for each client"),
    ],
)
def test_what_cannot_be_recorded_is_said(arguments: dict[str, Any], reason: str, recorder: TensorRecorder) -> None:
    module = mlp().double()
    found = trained([job(client, module, SETTINGS["sgd"], **arguments) for client in range(3)])
    assert recorder.recorded == 0
    assert all(one.remark.startswith(f"steps of local training are not CUDA graphs: {reason}") for one in found)


def test_a_network_that_cannot_be_stacked_trains_alone_and_says_so(recorder: TensorRecorder) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Dropout(0.5)).double()
    (found,) = trained([job(0, module, SETTINGS["sgd"])])
    assert (
        found.remark
        == "steps of local training are not CUDA graphs: Sequential has dropout, which draws for each client by itself"
    )


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda step: 1 / 0, "division by zero"),
        (lambda step: lambda: None, "done again, a step comes to something else"),
    ],
)
def test_a_recording_that_fails_changes_nothing(
    broken: Callable[[Any], Any], reason: str, recorder: TensorRecorder
) -> None:
    module = mlp().double()
    jobs, others = ([job(client, module, SETTINGS["adam"]) for client in (0, 3)] for _ in range(2))
    with mock.patch.object(recorder, "record", broken):
        found = trained(jobs)
    assert {one.remark for one in found} == {f"steps of local training are not CUDA graphs: {reason}"}
    for one, other, *both in zip(jobs, others, found, [one.done_alone() for one in others], strict=True):
        assert_alike(one, other, both)


def test_only_a_card_records() -> None:
    here = job(0, mlp(), Training())
    assert graphs.recorder_of(here) is None
    on_card = replace(here, device="cuda")
    assert isinstance(graphs.recorder_of(on_card), graphs.CudaRecorder)
    assert graphs.recorder_of(replace(on_card, training=Training(graphs="off"))) is None


def test_graphs_are_auto_or_off() -> None:
    with pytest.raises(UserError, match=r"training\.graphs must be one of auto, off, got 'on'"):
        Training(graphs="on")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
@pytest.mark.parametrize("name", SETTINGS)
def test_cuda_graphs_come_to_what_steps_come_to(name: str) -> None:
    graphs._last.clear()
    module = mlp()
    settings = SETTINGS[name]
    again, plain = (
        [job(c, module, one, counts=(24, 16, 30), device="cuda") for c in range(3)]
        for one in (settings, replace(settings, graphs="off"))
    )
    assert {one.remark for one in (*trained(again), *trained(plain))} == {""}
    for one, other in zip(again, plain, strict=True):
        torch.testing.assert_close(weights_after(one), weights_after(other), rtol=1e-5, atol=1e-6)
