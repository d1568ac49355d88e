"""One objective in training, evaluation, gradients, sensitivity and curvature, on clients and on the server."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

import fedlayers
from clients.learners.composed import Composed
from clients.learners.end_to_end import EndToEnd
from clients.network import Network
from clients.training import train_locally
from fedlayers.config.compose import compose_config
from fedlayers.config.schema.training import Training
from fedlayers.core.layers import layers_of
from fedlayers.core.schedule import Step
from fedlayers.execution.assembly import assembled
from fedlayers.objectives.balanced_softmax import BalancedSoftmax
from fedlayers.objectives.class_weights import balancing_weights
from fedlayers.objectives.cross_entropy import CrossEntropy
from fedlayers.objectives.focal import Focal
from fedlayers.objectives.mse import MeanSquaredError
from fedlayers.objectives.objective import ClassCounts, Objective, ObjectiveError
from metrics.curvature import Curvature
from metrics.evaluation import Evaluation
from metrics.example_gradients.per_example import ExamplePass
from metrics.gradients import Gradients
from metrics.hessian.products import GradientGraph
from metrics.originals import Originals
from metrics.sensitivity import Sensitivity
from tests.support.metric_views import client_view, network, some_rows, value_of, weights_of
from tests.support.own_objectives import Hinge, Later

Run = Callable[..., Path]
COUNTS = ClassCounts(4, lambda whose: torch.tensor([9, 2, 0, 5] if whose == "client" else [30, 20, 10, 10]))
OBJECTIVES = [
    CrossEntropy(0.2, "client"),
    CrossEntropy(class_weights=[0.0, 1.0, 2.0, 3.0]),
    Focal(2.0, "federation"),
    BalancedSoftmax(),
    MeanSquaredError(),
    Hinge(),
]
EACH = pytest.mark.parametrize("unbound", OBJECTIVES, ids=lambda one: type(one).__name__)
ROWS = some_rows(24)


def loss_of(module: nn.Module, objective: Objective, names: tuple[str, ...]) -> tuple[Callable[..., Tensor], Tensor]:
    """Return the mean loss as a function of some weights, flattened, and these."""
    everything = {name: tensor.detach() for name, tensor in module.named_parameters()}
    shapes = [everything[name].shape for name in names]

    def loss(vector: Tensor) -> Tensor:
        parts = torch.split(vector, [shape.numel() for shape in shapes])
        own = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        outputs = functional_call(module, {**everything, **own}, (ROWS.features.to(vector.dtype),))
        return objective(outputs, ROWS.labels).mean()

    return loss, torch.cat([everything[name].flatten() for name in names])


@EACH
def test_hessian_products_are_those_of_the_dense_hessian(unbound: Objective) -> None:
    module, objective = network().double(), unbound.bound(COUNTS)
    graph = GradientGraph(module, layers_of(module), ROWS.features.double(), ROWS.labels, objective)
    generator = torch.Generator().manual_seed(1)
    for layer in layers_of(module):
        loss, flat = loss_of(module, objective, layer.names)
        dense = jacrev(jacrev(loss))(flat)
        vectors = torch.randn(3, len(flat), generator=generator, dtype=torch.float64)
        torch.testing.assert_close(graph.products(layer, vectors), vectors @ dense)
        slopes = torch.cat([slope.flatten() for slope in graph.gradients(layer)])
        torch.testing.assert_close(slopes, jacrev(loss)(flat))


@EACH
def test_example_gradients_are_those_of_one_example_at_a_time(unbound: Objective) -> None:
    module, objective = network().double(), unbound.bound(COUNTS)
    features, labels = ROWS.features.double(), ROWS.labels
    found = ExamplePass(module, layers_of(module), features, labels, loss=objective)(features, labels)
    for layer in layers_of(module):
        weights = [module.get_parameter(name) for name in layer.names]
        alone = [
            torch.autograd.grad(objective(module(features[i : i + 1]), labels[i : i + 1]).sum(), weights)
            for i in range(len(labels))
        ]
        squares = torch.stack([torch.stack([slope.square().sum() for slope in one]).sum() for one in alone])
        torch.testing.assert_close(found.squares[layer.name], squares)


def test_all_metrics_measure_the_objective_of_their_view() -> None:
    module = network()
    view = client_view(module, {"client_train": ROWS, "client_test": ROWS})
    objective = Focal(2.0, "client").bound(COUNTS)
    view = replace(view, objective=objective)
    loss, flat = loss_of(module.double(), objective, layers_of(module)[0].names)
    module.float()
    losses = objective(module(ROWS.features).detach().double(), ROWS.labels)
    rows = Evaluation(splits=("test",)).client(view).rows
    assert value_of(rows, "loss").value == pytest.approx(float(losses.mean()), rel=1e-6)
    first = layers_of(module)[0]
    norm = value_of(
        Gradients(batch_examples=24).client(view).rows, "gradient_norm", layer=first.name, scope="client_train"
    )
    assert norm.value == pytest.approx(float(jacrev(loss)(flat).norm()), rel=1e-4)
    trace = value_of(Curvature(batch_examples=24).client(view).rows, "hessian_trace", layer=first.name)
    assert trace.value == pytest.approx(float(jacrev(jacrev(loss))(flat).trace()), rel=1e-3)
    sensitivity = Sensitivity(batches=1, batch_examples=24).client(view).rows
    weights = flat.clone()
    weights[math.prod(first.parameters[0].shape) :] = 0  # biases are no weights
    expected = float((weights * jacrev(loss)(flat)).square().sum())
    assert value_of(sensitivity, "sensitivity", layer=first.name).value == pytest.approx(expected, rel=1e-4)
    plain = client_view(module, {"client_train": ROWS})
    for metric in (Originals(), Sensitivity(batches=1, batch_examples=24)):
        own, other = (metric.client(one).rows for one in (view, plain))
        name = metric.facts[3 if isinstance(metric, Originals) else 0].name
        assert value_of(own, name, layer=first.name).value != value_of(other, name, layer=first.name).value


@EACH
def test_a_step_of_training_goes_along_its_gradient(unbound: Objective) -> None:
    module, objective = network(), unbound.bound(COUNTS)
    weights = weights_of(module)
    training = Training(lr=0.1, momentum=0.0, batch_size=24)
    learner = EndToEnd(Network(module, weights, {}), training, 0.1, objective=objective)
    result = train_locally(learner, ROWS, training, generator=torch.Generator().manual_seed(0))
    mean = objective.mean(module.train()(ROWS.features), ROWS.labels)
    names = [name for name, _ in module.named_parameters()]
    for name, slope in zip(names, torch.autograd.grad(mean, list(module.parameters())), strict=True):
        torch.testing.assert_close(weights[name], module.get_parameter(name).detach() - 0.1 * slope)
    assert result.loss == pytest.approx(mean.item(), rel=1e-6)


def test_a_learner_made_of_others_is_asked_about_all_their_losses() -> None:
    class Last(Composed):
        def step(self, batch: object, step: Step) -> Tensor:
            return self.parts["last"].step(batch, step)  # type: ignore[arg-type]

    module, training = network(), Training(batch_size=12)
    held = Network(module, weights_of(module), {})
    parts = {
        name: EndToEnd(held, training, 0.1, names=[f"{place}.weight"], objective=objective)
        for name, place, objective in (("first", 0, CrossEntropy()), ("last", 3, Later(1)))
    }
    with pytest.raises(ObjectiveError, match=r"objective Later must give numbers .* got NaN at step 2"):
        train_locally(Last(parts), ROWS, training, generator=torch.Generator().manual_seed(0))


def test_counts_are_those_of_training_examples_and_the_server_has_those_of_all() -> None:
    words = ["objective.class_weights=client", "clients=3", "metrics=[]", "device=cpu"]
    workspace = assembled(compose_config(words))
    classes = len(workspace.federation.classes)
    table = workspace.federation.label_counts()
    of_training = table[table["scope"] == "client_train"]
    outputs, labels = torch.zeros(classes, classes), torch.arange(classes)
    plain = torch.tensor(float(classes)).log()
    for client in (0, 2, None):
        rows = of_training if client is None else of_training[of_training["client"] == client]
        counts = rows.groupby("label")["examples"].sum().reindex(range(classes), fill_value=0)
        expected = balancing_weights(torch.tensor(counts.to_numpy())).float() * plain
        torch.testing.assert_close(workspace.objective_of(client)(outputs, labels), expected)


@pytest.mark.parametrize(
    ("words", "unit"),
    [
        (["objective=focal", "objective.gamma=1", "objective.alpha=federation"], "nat"),
        (["objective=balanced_softmax"], "nat"),
        (["objective=mse", "algorithm=ifca"], "1"),
        (["objective.class_weights=client", "objective.label_smoothing=0.1", "algorithm=centralized"], "nat"),
    ],
)
def test_a_federation_minimises_it(words: list[str], unit: str, quick_run: Run) -> None:
    run = quick_run(*words, "metrics=[evaluation,gradients]", "rounds=1", "engine=local")
    facts = {one["name"]: one for one in json.loads((run / "quantities.json").read_text())["quantities"]}
    assert {facts[name]["unit"] for name in ("loss", "training_loss", "gradient_norm")} == {unit}
    records = fedlayers.read(run).records
    losses = records[records["metric"].isin(["loss", "training_loss"])]
    assert ((losses["status"] == "ok") | (losses["n"] == 0)).all() and (losses["status"] == "ok").mean() > 0.5


def test_losses_that_are_none_are_missing_with_the_objective_as_the_reason() -> None:
    view = client_view(network(), {"client_test": ROWS})
    view = replace(view, objective=Later(0))
    row = value_of(Evaluation(splits=("test",)).client(view).rows, "loss")
    assert (row.status, row.reason) == ("missing", "objective Later gave NaN or an infinite loss for 24 of 24 examples")
