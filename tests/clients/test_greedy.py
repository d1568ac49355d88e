"""Greedy learners: no gradient crosses a stage, steps are the equations, degenerate cases what they reduce to."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize, one_hot

from clients.batches import Batch
from clients.learners.base import Hooks, Learner, Task
from clients.learners.end_to_end import EndToEnd, end_to_end
from clients.learners.forward_forward import ForwardForwardLearner
from clients.learners.greedy import Greedy, MonoForwardLearner
from clients.network import Network, hold, leaves, training_mode
from fedlayers.config.schema.training import Training
from fedlayers.core.anchors import Anchors
from fedlayers.core.errors import UserError
from fedlayers.core.schedule import Step
from fedlayers.core.weights import split_state
from fedlayers.models import build_model
from fedlayers.objectives.ace import ace
from fedlayers.objectives.focal import Focal

SHAPE, CLASSES, RATE = (1, 4, 4), 3, 0.5
SGD = Training(momentum=0.0)
Run = Callable[..., Path]


def built(target: str = "greedy_mlp.GreedyMLP", **options: Any) -> nn.Module:
    sizes = {} if target == "cnn.CNN" else {"width": 6, "layers": 3}
    node = {"name": "x", "_target_": f"fedlayers.models.{target}", **sizes, **options}
    return build_model(node, SHAPE, CLASSES, seed=5).double()


def cnn() -> nn.Module:
    return built("cnn.CNN", channels=[4, 5], hidden=6, kernel_size=3)


def network_of(module: nn.Module) -> Network:
    parameters, buffers = split_state(module)
    return Network(module, parameters, buffers)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(9, *SHAPE, generator=generator, dtype=torch.float64)
    return Batch(features, torch.tensor([0, 1, 2] * 3))


def stepped(learner: Learner, steps: int = 1, given: Batch | None = None) -> list[float]:
    """Take steps on one batch, as the loop over batches does, and return the losses."""
    batches = [given or batch()] * steps

    def block() -> list[float]:
        return [float(learner.step(own, Step(i, steps, steps))) for i, own in enumerate(batches, 1)]

    modules = [network.module for network in learner.networks]
    with training_mode(modules, frozen_norms=False), leaves(list(learner.trained.values())):
        return hold(learner.networks, block)


def moved(learner: Learner, steps: int = 1) -> dict[str, Tensor]:
    before = {name: own.clone() for name, own in learner.networks[0].parameters.items()}
    stepped(learner, steps)
    return {name: (own - before[name]).detach() for name, own in learner.networks[0].parameters.items()}


def task(module: nn.Module, **changes: Any) -> Task:
    return Task(network_of(module), changes.pop("training", SGD), RATE, **changes)


def by_hand(
    module: nn.Module,
    readouts: Sequence[nn.Module],
    parts: Sequence[Sequence[str]],
    lambdas: Sequence[float],
    form: str,
) -> dict[str, Tensor]:
    """Return the step of each stage of an MLP, its loss differentiated alone, from the equations."""
    w = {name: own.detach().clone().requires_grad_() for name, own in module.named_parameters()}
    given, h, logits = batch(), batch().features.flatten(1), []
    for depth, readout in enumerate(readouts, 1):
        h = (h.detach() @ w[f"fc{depth}.weight"].T + w[f"fc{depth}.bias"]).relu()
        logits.append(torch.func.functional_call(readout, _of(w, readout, module), (h,)))
    found: dict[str, Tensor] = {}
    for place, names in enumerate(parts):
        loss = cross_entropy(logits[place], given.labels)
        if place < len(parts) - 1:
            loss = loss - lambdas[place] * ace(form, logits[place], logits[place + 1].detach()).mean()
        slopes = torch.autograd.grad(loss, [w[name] for name in names], retain_graph=True)
        found |= {name: -RATE * slope for name, slope in zip(names, slopes, strict=True)}
    return found


def _of(w: dict[str, Tensor], readout: nn.Module, module: nn.Module) -> dict[str, Tensor]:
    path = next(name for name, part in module.named_modules() if part is readout)
    return {name.removeprefix(f"{path}."): own for name, own in w.items() if name.startswith(f"{path}.")}


@pytest.mark.parametrize("form", ["js", "ce_i_next", "ce_next_i", "sym_kl"])
@pytest.mark.parametrize("anchors", ["orthonormal", "learned"])
def test_one_step_is_the_equations(form: str, anchors: str) -> None:
    module = built(anchors=anchors)
    readouts = module.readouts()  # type: ignore[operator]
    learnt = anchors == "learned"
    parts = [[f"fc{d}.weight", f"fc{d}.bias", *([f"anchors{d}.weight"] if learnt else [])] for d in (1, 2, 3)]
    expected = by_hand(module, readouts, parts, [0.3, 0.7], form)
    found = moved(Greedy(task(module), lambda_ace=[0.3, 0.7], ace_variant=form))
    assert found.keys() == expected.keys()
    for name, change in expected.items():
        assert change.any()
        torch.testing.assert_close(found[name], change, rtol=1e-10, atol=1e-12)


def test_mono_forward_trains_layer_and_classifier_by_its_own_loss() -> None:
    module = built("greedy_mlp.MonoForward")
    names = [[f"{part}{d}.{own}" for part in ("fc", "classifier") for own in ("weight", "bias")] for d in (1, 2, 3)]
    expected = by_hand(module, module.readouts(), names, [0, 0], "js")  # type: ignore[operator]
    for name, change in moved(MonoForwardLearner(task(module))).items():
        torch.testing.assert_close(change, expected[name], rtol=1e-10, atol=1e-12)


def test_forward_forward_tells_own_labels_from_wrong_ones() -> None:
    module, given = built("forward_forward.ForwardForward"), batch()
    learner = ForwardForwardLearner(task(module, stream=11))
    labels, sign = learner.labelled(given.labels)
    # The smaller half is wrong, and never with its own label.
    assert (sign == -1).sum() == 4
    assert torch.equal(labels == given.labels, sign == 1)
    w = {name: own.detach().clone().requires_grad_() for name, own in module.named_parameters()}
    h, expected = torch.cat([given.features.flatten(1), one_hot(labels, CLASSES)], 1), dict[str, Tensor]()
    for depth in (1, 2, 3):
        x = h.detach() if depth == 1 else normalize(h.detach(), dim=1, eps=1e-6)
        h = (x @ w[f"fc{depth}.weight"].T + w[f"fc{depth}.bias"]).relu()
        loss = binary_cross_entropy_with_logits((h**2).sum(1) - 2, (sign > 0).double())
        names = [f"fc{depth}.weight", f"fc{depth}.bias"]
        slopes = torch.autograd.grad(loss, [w[name] for name in names])
        expected |= {name: -RATE * slope for name, slope in zip(names, slopes, strict=True)}
    # Drawn again from the beginning, the labels of the first step are those above.
    for name, change in moved(ForwardForwardLearner(task(module, stream=11))).items():
        torch.testing.assert_close(change, expected[name], rtol=1e-9, atol=1e-12)


LEARNERS: list[tuple[Callable[[], nn.Module], Callable[[Task], Learner]]] = [
    (built, Greedy),
    (cnn, lambda own: Greedy(own, anchors="random", similarity="l2", temperature=2.0)),
    (lambda: built("greedy_mlp.MonoForward"), MonoForwardLearner),
    (lambda: built("forward_forward.ForwardForward"), ForwardForwardLearner),
    (lambda: build_model({"name": "x", "_target_": "fedlayers.models.resnet18.ResNet18", "width": 4, "groups": 2},
                         (1, 8, 8), CLASSES, 0).double(), Greedy),
]  # fmt: skip


@pytest.mark.parametrize(("make", "learner"), LEARNERS)
def test_no_gradient_crosses_a_stage(make: Callable[[], nn.Module], learner: Callable[[Task], Learner]) -> None:
    """What later stages are cannot be felt by earlier ones, whose training without them is the same."""
    module = make()
    given = Batch(
        torch.randn(6, *((1, 8, 8) if len(list(module.children())) == 9 else SHAPE)).double(), batch().labels[:6]
    )
    made = learner(task(module))
    assert isinstance(made, Greedy | ForwardForwardLearner)
    if isinstance(made, Greedy):
        made.lambdas = [0.0] * len(made.lambdas)
    _, own, *after = made.groups.values()
    later = {name for names in after for name in names}
    assert own and later
    stepped(made, given=given)
    expected = {name: made.networks[0].parameters[name].clone() for name in own}
    other = learner(task(module))
    for name in later:
        other.networks[0].parameters[name].data.mul_(-3).add_(0.1)
    if isinstance(other, Greedy):
        other.lambdas = [0.0] * len(other.lambdas)
    stepped(other, given=given)
    for name in own:
        assert torch.equal(other.networks[0].parameters[name], expected[name]), name


def test_ace_is_felt_by_the_stage_and_not_by_the_next() -> None:
    """The next stage's prediction is a number to the one before it, and its own step knows nothing of that."""
    without, with_ace = (moved(Greedy(task(built()), lambda_ace=[own, 0.0])) for own in (0.0, 0.9))
    for name, change in without.items():
        assert torch.equal(with_ace[name], change) == (not name.startswith("fc1"))


def test_one_stage_is_end_to_end_to_the_byte(quick_run: Run, tables: Callable[[Path], Any]) -> None:
    model = ["model=greedy_mlp", "model.layers=1", "model.width=16"]
    greedy = quick_run(*model)
    assert tables(greedy) == tables(quick_run(*model, "learner=end_to_end"))
    assert greedy.name != quick_run(*model, "learner=end_to_end").name


def test_a_head_is_trained_on_what_the_last_stage_gives_as_end_to_end_training_of_it_alone() -> None:
    module = cnn()
    names = ["fc2.weight", "fc2.bias"]
    expected = moved(EndToEnd(network_of(module), SGD, RATE, names=names))
    found = moved(Greedy(task(module)))
    for name in names:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-12, atol=1e-14)
    assert all(change.any() for change in found.values())


def test_stages_of_any_model_learn_with_drawn_anchors() -> None:
    made = Greedy(Task(network_of(cnn()), Training(optimizer="adam"), 0.01, seed=8))
    losses = stepped(made, 40)
    assert losses[-1] < 0.7 * losses[0]
    assert made.readouts is not None
    drawn = [one for one in made.readouts if isinstance(one, Anchors)]
    assert [one.width for one in drawn] == [4, 5, 6]
    like = batch().features
    assert torch.equal(drawn[0].rows(like), Anchors(CLASSES, 4, seed=8).rows(like))
    assert list(made.groups) == ["conv1", "conv2", "fc1", "(head)"]


def test_what_the_optimizer_remembers_of_each_stage_is_carried() -> None:
    training = Training(momentum=0.9, optimizer_state="carried")
    whole = Greedy(task(built(), training=training))
    stepped(whole, 2)
    first = Greedy(task(built(), training=training))
    stepped(first, 1)
    second = Greedy(Task(first.networks[0], training, RATE))
    second.load({name: own.clone() for name, own in first.state().items()})
    stepped(second, 1)
    assert {name.split("/")[0] for name in first.state()} == {"fc1", "fc2", "fc3"}
    for name, own in whole.networks[0].parameters.items():
        assert torch.equal(second.networks[0].parameters[name], own), name


@pytest.mark.parametrize(
    ("target", "learner"), [("greedy_mlp.GreedyMLP", Greedy), ("forward_forward.ForwardForward", ForwardForwardLearner)]
)
def test_every_stage_follows_the_schedule(target: str, learner: Callable[[Task], Learner]) -> None:
    scheduled = Task(network_of(built(target)), SGD, lambda step: RATE * step.number)
    found, plain = moved(learner(scheduled)), moved(learner(task(built(target))))
    assert all(torch.equal(found[name], change) and change.any() for name, change in plain.items())


def test_hooks_and_clipping_are_of_each_stage() -> None:
    start = dict(network_of(built()).parameters)
    pull = Hooks(
        {name: torch.zeros_like(own) for name, own in start.items()},
        extra_loss=lambda own, reference: sum(
            ((own[name] - reference[name]).square().sum() for name in own), torch.zeros(())
        ),
    )
    plain, pulled = moved(Greedy(task(built()))), moved(Greedy(task(built(), hooks=pull)))
    for name, change in plain.items():
        torch.testing.assert_close(pulled[name], change - RATE * 2 * start[name], rtol=1e-9, atol=1e-12)
    clipped = moved(Greedy(task(built(), training=Training(momentum=0.0, clip_norm=1e-3))))
    for depth in (1, 2, 3):
        both = [clipped[f"fc{depth}.{own}"].square().sum() for own in ("weight", "bias")]
        assert float(sum(both)) ** 0.5 == pytest.approx(RATE * 1e-3, rel=1e-2)


def test_named_weights_alone_move_and_any_objective_is_minimised() -> None:
    some = ["fc2.weight", "fc3.bias"]
    found, whole = moved(Greedy(task(built(), names=some))), moved(Greedy(task(built())))
    for name, change in found.items():
        assert torch.equal(change, whole[name] if name in some else torch.zeros_like(change)), name
    focal = moved(Greedy(task(built(), objective=Focal(2.0))))
    assert not torch.equal(focal["fc1.weight"], whole["fc1.weight"])
    with pytest.raises(UserError, match="names must be of weights of the model that are trained"):
        Greedy(task(built(), names=["fc9.weight"]))


def test_class_means_follow_in_training() -> None:
    module = built(anchors="class_means")
    before = dict(split_state(module)[1])
    network = Network(module, split_state(module)[0], {name: own.clone() for name, own in before.items()})
    stepped(Greedy(Task(network, SGD, RATE)), 2)
    assert all(not torch.equal(network.buffers[name], own) for name, own in before.items()) and len(before) == 3


def check(learner: type[Any], module: nn.Module, **options: Any) -> list[str]:
    found: list[str] = learner.check_model(module.eval(), batch().features[:2], CLASSES, **options)
    return found


def test_what_does_not_fit_a_model_is_told_before_the_first_round() -> None:
    with pytest.raises(UserError, match=r"learner\.temperature must be left out because GreedyMLP has readouts of its"):
        check(Greedy, built(), temperature=0.2)
    with pytest.raises(
        UserError, match=r"learner\.anchors must be one of orthonormal, random, got 'learned'; choose m"
    ):
        check(Greedy, cnn(), anchors="learned")
    with pytest.raises(UserError, match=r"learner\.similarity must be one of cosine, l2, got 'dot'"):
        check(Greedy, cnn(), similarity="dot")
    with pytest.raises(UserError, match=r"learner\.ace_variant must be one of ce_i_next, .*, got 'kl'"):
        check(Greedy, built(), ace_variant="kl")
    for wrong in (-1.0, [0.1], [0.1, 0.2, 0.3], [0.1, -0.1]):
        with pytest.raises(UserError, match=r"learner\.lambda_ace must be 0 or more, or a list of 2, one for each"):
            check(Greedy, built(), lambda_ace=wrong)
    with pytest.raises(UserError, match="model must be a network with stages"):
        check(Greedy, nn.Linear(4, 2))
    with pytest.raises(UserError, match="learner=greedy must have a model with a layer after its last stage, got S"):
        check(Greedy, nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES), nn.ReLU()).double())
    with pytest.raises(UserError, match="learner=greedy must have a model that answers from its last stage, got Forw"):
        check(Greedy, built("forward_forward.ForwardForward"))
    with pytest.raises(
        UserError, match="learner=mono_forward must have a model with a classifier for each stage, got C"
    ):
        check(MonoForwardLearner, cnn())
    with pytest.raises(UserError, match="learner=forward_forward must have a model that sees labels, got GreedyMLP"):
        check(ForwardForwardLearner, built())
    with pytest.raises(UserError, match="learner=forward_forward must have two classes or more, got 1"):
        ForwardForwardLearner.check_model(built("forward_forward.ForwardForward"), batch().features, 1)
    assert check(Greedy, built()) == check(MonoForwardLearner, built("greedy_mlp.MonoForward")) == []
    assert check(EndToEnd, built()) == check(ForwardForwardLearner, built("forward_forward.ForwardForward")) == []
    narrow = built("cnn.CNN", channels=[2, 5], hidden=6, kernel_size=3)
    assert check(Greedy, narrow) == [
        "conv1: 3 classes have no orthonormal anchors in 2 dimensions: they are random directions"
    ]


def test_end_to_end_is_what_the_option_names() -> None:
    names = ["fc2.weight"]
    by_task, plain = end_to_end(task(built(), names=names)), EndToEnd(network_of(built()), SGD, RATE, names=names)
    expected = moved(plain)
    assert all(torch.equal(change, expected[name]) for name, change in moved(by_task).items())
