"""Early exits: each stage's own accuracy, the one that validation chooses, and multiply-adds by hand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fedlayers import read
from fedlayers.core.anchors import Anchors
from fedlayers.core.errors import UserError
from fedlayers.core.forward_order import forward_layers
from fedlayers.models.cnn import CNN
from fedlayers.models.greedy_mlp import GreedyMLP, MonoForward
from metrics.base import ClientView
from metrics.exits import Exits
from tests.support.metric_views import Rows, assert_in_range, client_view, some_rows, value_of

DATA = {"client_val": some_rows(50, 1), "client_test": some_rows(70, 2)}


def view_of(module: nn.Module, data: dict[str, Rows] | None = None) -> ClientView:
    view = client_view(module.eval(), DATA if data is None else data)
    return replace(view, layers=forward_layers(module, some_rows(2).features), run_seed=3)


def accuracies(module: nn.Module, examples: Rows) -> list[float]:
    """Return each layer's accuracy, written out."""
    h, found = examples.features, []
    w = dict(module.named_parameters())
    for depth in (1, 2, 3):
        h = (h @ w[f"fc{depth}.weight"].T + w[f"fc{depth}.bias"]).relu()
        logits = module.get_submodule(f"{'classifier' if 'classifier1.weight' in w else 'anchors'}{depth}")(h)
        found.append(float((logits.argmax(1) == examples.labels).double().mean()))
    return found


@pytest.mark.parametrize("kind", [GreedyMLP, MonoForward])
def test_every_layer_is_scored_and_validation_chooses(kind: type[nn.Module]) -> None:
    torch.manual_seed(4)
    module = kind((6,), 4, width=8, layers=3)
    metric, view = Exits(), view_of(module)
    rows = metric.client(view).rows
    assert_in_range(metric, rows)
    validation, test = (accuracies(module, DATA[f"client_{scope}"]) for scope in ("val", "test"))
    for depth in (1, 2, 3):
        row = value_of(rows, "exit_accuracy", layer=f"fc{depth}", scope="client_test")
        assert row.value == pytest.approx(test[depth - 1]) and row.n == 70
    place = int(np.argmax(validation))
    assert value_of(rows, "early_exit").value == place + 1
    assert value_of(rows, "early_exit_accuracy").value == pytest.approx(test[place])
    # 6·8 + 2·8·8 of the layers, and 8·4 of what answers.
    whole = 48 + 128 + 32
    costs = [(48 + 32) / whole, (48 + 64 + 32) / whole, 1.0]
    for depth in (1, 2, 3):
        assert value_of(rows, "exit_cost", layer=f"fc{depth}").value == pytest.approx(costs[depth - 1])
    assert value_of(rows, "early_exit_saved").value == pytest.approx(1 - costs[place])


def test_a_tolerance_takes_an_earlier_exit() -> None:
    module = GreedyMLP((6,), 4, width=8, layers=3)
    assert value_of(Exits(tolerance=0.99).client(view_of(module)).rows, "early_exit").value == 1


def test_a_head_is_the_last_exit_and_drawn_anchors_answer_before_it() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    rows = Exits().client(view_of(module)).rows
    examples = DATA["client_test"]
    with torch.no_grad():
        right = (module(examples.features).argmax(1) == examples.labels).double().mean()
        h = module[:2](examples.features)
        first = (Anchors(4, 8, seed=3)(h).argmax(1) == examples.labels).double().mean()
    assert value_of(rows, "exit_accuracy", layer="4", scope="client_test").value == pytest.approx(float(right))
    assert value_of(rows, "exit_accuracy", layer="0", scope="client_test").value == pytest.approx(float(first))
    assert value_of(rows, "exit_cost", layer="4").value == 1
    assert value_of(rows, "exit_cost", layer="0").value == pytest.approx((48 + 32) / (48 + 64 + 32))


def test_convolutions_count_at_every_position() -> None:
    module = CNN((1, 4, 4), 4, channels=[2, 3], kernel_size=3, hidden=5).eval()
    data = {scope: Rows(torch.randn(9, 1, 4, 4), torch.arange(9) % 4) for scope in DATA}
    view = replace(client_view(module, data), layers=forward_layers(module, torch.zeros(2, 1, 4, 4)))
    rows = Exits().client(view).rows
    layers = [9 * 2 * 16, 9 * 2 * 3 * 4, 3 * 5, 5 * 4]
    assert value_of(rows, "exit_cost", layer="conv1").value == pytest.approx((layers[0] + 2 * 4) / sum(layers))


def test_what_is_missing_says_why_and_the_server_chooses_nothing() -> None:
    module = GreedyMLP((6,), 4, width=8, layers=2)
    rows = Exits().client(view_of(module, {"client_test": DATA["client_test"]})).rows
    row = value_of(rows, "early_exit")
    assert (row.status, row.reason) == ("missing", "no examples in client_val")
    names = {row.metric for row in Exits().client(view_of(module, {"server_test": DATA["client_test"]})).rows}
    assert names == {"exit_accuracy"}
    assert not Exits().client(view_of(module, {})).rows


def test_mistakes_are_told_in_a_sentence(quick_run: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match=r"tolerance must be in \[0, 1\), got 1"):
        Exits(tolerance=1)
    with pytest.raises(UserError, match=r"model must be a network with stages, .* got none in MLP"):
        quick_run("metrics=[exits]", "model.hidden=[]")


def test_a_federated_chain_chooses_its_exits(quick_run: Callable[..., Path]) -> None:
    words = ["model=greedy_mlp", "model.width=16", "model.layers=3", "metrics=[evaluation,exits]", "rounds=1"]
    records = read(quick_run(*words, "engine=local", "training.epochs=3")).records
    own = records[records.metric.isin(["exit_accuracy", "early_exit", "exit_cost", "early_exit_saved"])]
    assert (own.status == "ok").all() and set(own.moment) == {"start", "after_local", "after_aggregate", "final"}
    last = own[
        (own.metric == "exit_accuracy") & (own.owner == "server") & (own.moment == "final") & (own.layer == "fc3")
    ]
    same = records[(records.metric == "accuracy") & (records.owner == "server") & (records.moment == "final")]
    assert last.value.item() == pytest.approx(same.value.item())
