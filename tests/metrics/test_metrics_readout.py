"""The rows of what is read off stages: what is in them, and what is missing, with which reason."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedlayers.core.anchors import Anchors
from fedlayers.core.errors import UserError
from fedlayers.core.records import Record
from fedlayers.models.cnn import CNN
from fedlayers.models.greedy_mlp import GreedyMLP
from metrics.base import ClientView
from metrics.measure import measure_clients
from metrics.readout import Readout
from metrics.readouts.anchors.anchor_alignment import anchor_cosines
from metrics.readouts.halves.half_smoother import half_smoothers
from metrics.readouts.halves.ridge_r2 import held_out_r2
from metrics.readouts.labelled_mean import labelled_mean
from metrics.readouts.probe_labels import ProbeLabels
from metrics.representation import Representation
from tests.support.metric_views import Rows, assert_in_range, client_view, value_of, where

pytestmark = pytest.mark.usefixtures("device")

OF_LABELS = {
    "anchor_accuracy", "anchor_cross_entropy", "anchor_cross_entropy_plain", "anchor_alignment", "anchor_margin",
    "probe_accuracy", "probe_f1", "label_information",
}  # fmt: skip
OF_ONE = OF_LABELS | {
    "input_information", "mutual_information_binned", "gaussian_entropy", "participation_ratio",
}  # fmt: skip
OF_NEXT = {"ace_ce_i_next", "ace_ce_next_i", "ace_js", "ace_sym_kl", "probe_js", "ridge_r2_next"}


def chain(widths: tuple[int, ...] = (12, 10, 8), classes: int = 4, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts: list[nn.Module] = []
        for before, after in zip((6, *widths), widths, strict=False):
            parts += [nn.Linear(before, after), nn.Tanh()]
        return nn.Sequential(*parts, nn.Linear(widths[-1], classes)).eval()


def clear(n: int, classes: int = 4, seed: int = 0) -> Rows:
    """Return examples whose classes are one of the first features each."""
    generator = torch.Generator().manual_seed(seed)
    features, labels = torch.randn(n, 6, generator=generator), torch.randint(classes, (n,), generator=generator)
    features[torch.arange(n), labels] += 4
    return Rows(features.to(where[0]), labels.to(where[0]))


def view_of(module: nn.Module, probe: Rows | None, classes: int = 4) -> ClientView:
    names = tuple(f"class {place}" for place in range(classes))
    return replace(client_view(module, {}), probe=probe, classes=names)


def rows_of(module: nn.Module, probe: Rows, classes: int = 4, **arguments: Any) -> list[Record]:
    metric = Readout(**{"permutations": 39, **arguments})
    rows = metric.client(view_of(module, probe, classes)).rows
    assert_in_range(metric, rows)
    return [row for row in rows if isinstance(row, Record)]


def of_layer(rows: list[Record], layer: str) -> dict[str, Record]:
    """Return a layer's rows by quantity, of two variants that of all units."""
    return {row.metric: row for row in reversed(rows) if row.layer == layer}


def test_every_stage_has_its_rows() -> None:
    rows = rows_of(chain(), clear(80))
    assert {row.status for row in rows} == {"ok"} and {(row.scope, row.n) for row in rows} == {("probe", 80)}
    assert [of_layer(rows, layer).keys() for layer in ("0", "2", "4")] == [
        OF_ONE | OF_NEXT,
        OF_ONE | OF_NEXT | {"cka_previous"},
        OF_ONE | {"cka_previous"},
    ]
    assert {row.metric for row in rows} == {fact.name for fact in Readout.facts}
    assert of_layer(rows, "4")["probe_accuracy"].layer_index == 2
    # The head is no stage.
    assert not of_layer(rows, "6")
    for row in rows:
        if row.metric not in ("gaussian_entropy", "participation_ratio", "mutual_information_binned"):
            assert row.stderr is not None and row.chance is not None, row
            assert (row.p is None) == (row.metric == "ridge_r2_next")


def test_rows_hold_what_the_functions_give() -> None:
    module, probe = chain(), clear(80)
    rows = rows_of(module, probe)
    labels = ProbeLabels.of(probe.labels.cpu(), 4, 39)
    first, second = (module[:end](probe.features).detach().cpu() for end in (2, 4))
    alignment = labelled_mean(anchor_cosines(first, Anchors(4, 12).rows(first)), labels.labellings)
    row = value_of(rows, "anchor_alignment", layer="0", variant="orthonormal")
    assert (row.value, row.stderr, row.p) == pytest.approx((alignment.value, alignment.stderr, alignment.chance.p))
    r2 = held_out_r2(half_smoothers(first, labels.halves, 4.0), second)
    row = value_of(rows, "ridge_r2_next", layer="0", variant="halves")
    assert (row.value, row.stderr, row.chance) == pytest.approx((r2.value, r2.stderr, r2.chance.chance), rel=1e-5)


def test_labels_that_can_be_read_off_are_told_from_chance() -> None:
    found = of_layer(rows_of(chain(), clear(120)), "0")
    for name in ("probe_accuracy", "probe_f1", "label_information"):
        assert found[name].p == 1 / 40 and found[name].value > 2 * (found[name].chance or 0)
    assert found["probe_accuracy"].value > 0.9 and found["input_information"].p == 0.05
    shuffled = clear(120)
    shuffled.labels = shuffled.labels[torch.randperm(120, generator=torch.Generator().manual_seed(3))]
    nothing = of_layer(rows_of(chain(), shuffled), "0")
    assert all((nothing[name].p or 0) > 0.025 for name in ("probe_accuracy", "anchor_accuracy", "anchor_alignment"))


def test_a_models_own_anchors_are_read() -> None:
    module = GreedyMLP((6,), 4, width=12, layers=2, temperature=0.5, similarity="l2", anchors="random", anchor_seed=3)
    rows = rows_of(module.eval(), clear(60))
    variants = {row.variant for row in rows if row.metric.startswith(("anchor_", "ace_"))}
    assert variants == {"random", "random, l2", "random, l2, tau=0.5", "random, l2, tau=1"}
    layer = of_layer(rows, "fc2")
    with torch.no_grad():
        logits = module(clear(60).features.to(where[0]))
    hits = float((logits.argmax(1) == clear(60).labels.to(where[0])).double().mean())
    loss = float(nn.functional.cross_entropy(logits.double(), clear(60).labels.to(where[0])))
    assert layer["anchor_accuracy"].value == hits and layer["anchor_cross_entropy"].value == pytest.approx(loss, 1e-5)
    assert layer["anchor_cross_entropy"].value > 1.1 * layer["anchor_cross_entropy_plain"].value


def test_anchors_follow_from_the_runs_seed_alone() -> None:
    module, view = chain(), view_of(chain(), clear(60))
    same = Readout().client(replace(view, seed=99, round=5, moment="after_aggregate", cache={})).rows
    assert Readout().client(view).rows == same and Readout.per_model and Readout.on_server and Readout.uses_probe
    other = Readout().client(replace(view_of(module, clear(60)), run_seed=1)).rows
    moved = {a.metric for a, b in zip(same, other, strict=True) if a != b}
    assert moved == {name for name in OF_ONE | OF_NEXT if name.startswith(("anchor_", "ace_"))}


def test_convolutions_have_one_row_an_example() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 4
    probe = Rows(torch.randn(60, 1, 16, 16, generator=generator).to(where[0]), labels.to(where[0]))
    rows = rows_of(CNN((1, 16, 16), 4).eval(), probe)
    assert list(dict.fromkeys(row.layer for row in rows)) == ["conv1", "conv2", "fc1"]
    assert of_layer(rows, "conv1")["ridge_r2_next"].status == "ok"


@pytest.mark.parametrize(
    ("labels", "reason"),
    [(torch.full((40,), -1), "the probe has no labels"), (torch.full((40,), 2), "all labels .* are of one class, 2")],
    ids=["none", "one class"],
)
def test_labels_that_say_nothing(labels: Tensor, reason: str) -> None:
    rows = rows_of(chain(), Rows(clear(40).features, labels.to(where[0])))
    gone = [row for row in rows if row.status == "missing"]
    assert {row.metric for row in gone} == OF_LABELS | {"probe_js"}
    assert len({row.reason for row in gone}) == 1
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(gone[0].reason)


@pytest.mark.parametrize("n", [1, 3, 4, 5, 7])
def test_tiny_probes(n: int) -> None:
    rows = rows_of(chain(), Rows(clear(n).features, torch.arange(n, device=where[0]) % 2))
    if n < 4:
        assert {row.reason for row in rows if row.metric in OF_ONE} == {f"4 examples or more are needed, got {n}"}
        assert {row.status for row in rows} == {"missing"}
    else:
        assert of_layer(rows, "0")["probe_accuracy"].status == "ok"
        assert of_layer(rows, "0")["input_information"].status == ("missing" if n < 5 else "ok")


@pytest.mark.parametrize(("classes", "widths"), [(2, (5, 5)), (4, (3, 2)), (4, (1, 1)), (40, (12, 10))])
def test_few_classes_and_narrow_stages(classes: int, widths: tuple[int, ...]) -> None:
    probe = clear(90, min(classes, 6))
    probe.labels = (torch.arange(90) % classes).to(where[0])
    rows = rows_of(chain(widths, classes), probe, classes)
    assert {row.status for row in rows} == {"ok"}
    remarks = Readout().remarks(view_of(chain(widths, classes), probe, classes))
    assert len(remarks) == len({width for width in widths if width < classes})
    assert all("have no orthonormal anchors in" in remark for remark in remarks)


def test_a_chain_of_one_stage() -> None:
    rows = rows_of(chain((7,)), clear(40))
    assert {row.metric for row in rows} == OF_ONE and {row.status for row in rows} == {"ok"}


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (math.nan, "its output is not finite"),
        (math.inf, "its output is not finite"),
        (0.0, "the same for all examples"),
    ],
)
def test_a_broken_stage_spoils_no_other(number: float, reason: str) -> None:
    module = chain()
    module[3] = nn.ReLU()
    with torch.no_grad():
        module.get_parameter("2.weight").fill_(number)
        module.get_parameter("2.bias").fill_(number or 0.5)
    rows = rows_of(module, clear(60))
    assert {row.status for row in rows if row.layer == "0" and row.metric in OF_ONE} == {"ok"}
    broken = of_layer(rows, "2")
    anchored = {name for name in broken if name.startswith(("anchor_", "ace_"))}
    for name in broken.keys() - anchored:
        assert broken[name].status == "missing" and reason in (broken[name].reason or ""), name
    # A stage that is the same for all examples still has a nearest anchor.
    assert {broken[name].status for name in anchored if number == 0} <= {"ok"}
    before = of_layer(rows, "0")["ridge_r2_next"]
    assert before.status == "missing" and (before.reason or "").startswith("of the next stage: ")
    after = of_layer(rows, "4")["cka_previous"]
    assert after.status == "missing" and after.value != 0


def test_dead_units_leave_the_entropy_without_a_floor() -> None:
    module = chain()
    with torch.no_grad():
        for name in ("0.weight", "0.bias"):
            module.get_parameter(name)[:2].fill_(0.3 if name == "0.bias" else 0)
    probe = clear(60)
    rows = rows_of(module, probe)
    row = value_of(rows, "gaussian_entropy", layer="0", variant="diagonal")
    assert row.reason == "2 of 12 units do not vary on the probe: the entropy is minus infinity"
    found = value_of(rows, "gaussian_entropy", layer="0", variant="diagonal, units that vary")
    alive = module[:2](probe.features).detach().double().cpu()[:, 2:]
    assert found.value == pytest.approx(float((2 * math.pi * math.e * alive.var(0)).log().sum()) / 2)


def test_information_is_of_five_hundred_examples_at_most() -> None:
    rows = rows_of(chain((5,)), clear(1001), permutations=0)
    assert value_of(rows, "input_information", layer="0", variant="neighbours, 2 components").n == 500
    assert {row.n for row in rows if row.metric != "input_information"} == {1001}


def test_zeros_have_no_direction() -> None:
    module = chain()
    with torch.no_grad():
        for name in ("0.weight", "0.bias"):
            module.get_parameter(name).zero_()
    found = of_layer(rows_of(module, clear(60)), "0")
    for name in ("anchor_accuracy", "anchor_alignment", "ace_js"):
        assert found[name].reason == "its output is zero for all examples: it has no direction"


def test_codes_are_no_numbers() -> None:
    module = nn.Sequential(nn.Embedding(9, 6), nn.Flatten(), nn.Tanh(), nn.Linear(18, 4)).eval()
    codes = torch.randint(9, (50, 3), generator=torch.Generator().manual_seed(0))
    rows = rows_of(module, Rows(codes.to(where[0]), (torch.arange(50) % 4).to(where[0])))
    assert of_layer(rows, "0")["input_information"].reason == "the input is made of codes, not of numbers"
    assert of_layer(rows, "0")["probe_accuracy"].status == "ok"


def test_models_without_stages_are_told_in_a_sentence() -> None:
    linear = nn.Sequential(nn.Linear(6, 4)).eval()
    with pytest.raises(UserError, match=r"model must be a network with stages.*choose another, such as model=mlp"):
        Readout().check_model(linear)
    (row, _), _ = measure_clients({"readout": Readout()}, view_of(linear, clear(40)), 1)
    assert isinstance(row, Record) and row.status == "missing" and "model must be a network with" in (row.reason or "")


def test_without_a_probe_nothing_is_read() -> None:
    with pytest.raises(ValueError, match="there is no probe to read stages off"):
        Readout().client(view_of(chain(), None))
    assert Readout().remarks(view_of(chain(), None)) == []


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("examples_per_degree", 0.5, 1), ("permutations", -1, 0), ("permutations", math.nan, 0)],
)
def test_bad_arguments(name: str, value: float, least: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be {least} or more, got {value!r}"):
        Readout(**{name: value})  # type: ignore[arg-type]


def test_it_goes_along_with_the_geometry_of_layers() -> None:
    rows, _ = measure_clients(
        {"readout": Readout(permutations=0), "representation": Representation(permutations=0)},
        view_of(chain(), clear(60)),
        1,
    )
    variants = {row.variant for row in rows if isinstance(row, Record) and row.metric == "probe_accuracy"}
    assert variants == {"halves", "examples/df=4, folds=5, pooled"}
    of_layer_0 = [row for row in rows if isinstance(row, Record) and row.layer == "0"]
    assert all(row.chance is None for row in of_layer_0 if row.metric in ("probe_accuracy", "anchor_accuracy"))
