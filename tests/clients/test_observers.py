"""Observers are told of every step where they listen, and of nothing where they do not."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from clients.observers import Audience, Observer, View
from fedlayers.config.schema.training import Length, Training
from fedlayers.core.schedule import Step
from tests.clients.test_training import examples_of, network, trained


class Diary(Observer):
    """Writes down all it is told."""

    def __init__(self) -> None:
        self.steps: dict[str, list[Step]] = {"start": [], "batch": [], "epoch": [], "end": []}
        self.views: list[tuple[dict[str, Tensor], dict[str, Tensor], Tensor | None]] = []

    def note(self, when: str, view: View) -> None:
        self.steps[when].append(view.step)
        weights = {name: tensor.clone() for name, tensor in view.weights.items()}
        self.views.append((weights, dict(view.gradients), view.loss))

    def on_start(self, view: View) -> None:
        self.note("start", view)

    def on_batch(self, view: View) -> None:
        self.note("batch", view)

    def on_epoch(self, view: View) -> None:
        self.note("epoch", view)

    def on_end(self, view: View) -> None:
        self.note("end", view)


@pytest.mark.parametrize(("count", "norm", "per_epoch"), [(10, False, 3), (9, False, 3), (9, True, 2), (3, True, 1)])
def test_every_step_is_told_with_where_epochs_end(count: int, norm: bool, per_epoch: int) -> None:
    module = network(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)) if norm else network()
    diary, training = Diary(), Training(batch_size=4, epochs=2.5)
    parameters, _, result = trained(module, examples_of(count), training, observers=[diary])
    plain = trained(module, examples_of(count), training)[0]
    assert all(torch.equal(plain[name], tensor) for name, tensor in parameters.items())
    steps = [Step(number, result.steps, per_epoch) for number in range(round(2.5 * per_epoch) + 1)]
    assert diary.steps == {
        "start": steps[:1],
        "batch": steps[1:],
        "epoch": [steps[per_epoch], steps[2 * per_epoch]],
        "end": steps[-1:],
    }


@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_weights_gradients_and_loss_are_those_of_the_step(clip_norm: float | None) -> None:
    def double(gradients: dict[str, Tensor], *_: object) -> None:
        for gradient in gradients.values():
            gradient.mul_(2)

    diary, training = Diary(), Training(momentum=0.0, batch_size=5, steps=2, clip_norm=clip_norm)
    parameters, _, result = trained(network(), examples_of(10), training, observers=[diary], adjust_gradients=double)
    (start, none, nothing), (first, gradients, loss), (second, _, last) = diary.views[:3]
    assert not none and nothing is None and loss is not None and last is not None
    for name, weight in start.items():
        torch.testing.assert_close(first[name], weight - 0.1 * gradients[name])
        assert torch.equal(second[name], parameters[name])
    assert not any(weight.requires_grad for weight in first.values())
    norm = torch.cat([gradient.flatten() for gradient in gradients.values()]).norm().item()
    assert norm == pytest.approx(0.1, rel=1e-3) if clip_norm else norm > 0.1
    assert result.loss == pytest.approx((loss.item() + last.item()) / 2)


def test_only_what_is_overridden_is_listened_to() -> None:
    class AtTheEnd(Observer):
        told: Sequence[Step] = ()

        def on_end(self, view: View) -> None:
            self.told = (*self.told, view.step)

    observer = AtTheEnd()
    trained(network(), examples_of(10), Training(batch_size=4, epochs=2), observers=[Observer(), observer])
    assert observer.told == (Step(6, 6, 3),)
    silent = Audience([Observer()])
    assert not silent.follows
    # Neither weights nor loss are touched: nobody would read them.
    silent.started(None, Length(1, 1))  # type: ignore[arg-type]
    silent.stepped(Step(1, 1, 1), None, None)  # type: ignore[arg-type]
    assert silent.seconds == 0


def test_observers_look_in_order_and_their_time_is_told() -> None:
    order: list[str] = []

    class Named(Observer):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_batch(self, view: View) -> None:
            order.append(self.name)

    result = trained(network(), examples_of(8), Training(batch_size=4), observers=[Named("a"), Named("b")])[2]
    assert order == ["a", "b", "a", "b"]
    assert result.observed_s > 0


def test_gradients_are_kept_for_no_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from clients.learners.end_to_end import EndToEnd

    kept: list[bool] = []
    step = EndToEnd.step

    def looked_at(self: EndToEnd, *rest: object) -> Tensor:
        kept.append(bool(self.release()))
        return step(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(EndToEnd, "step", looked_at)
    for observers in ([], [Observer()]):
        trained(network(), examples_of(4), Training(steps=2), observers=observers)
    assert kept == [False] * 4
