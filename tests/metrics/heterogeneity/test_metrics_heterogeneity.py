"""The metric of heterogeneous clients: its values against its parts, what it sends, and runs that train alone first."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import fedlayers
from fedlayers.config.compose import compose_config
from fedlayers.core.errors import UserError
from fedlayers.core.records import Record
from fedlayers.execution.stand_alone_runs.alone import stand_alone_runs
from fedlayers.objectives.binary_cross_entropy import BinaryCrossEntropy
from fedlayers.runs.folder import RunFolder, run_folder
from fedlayers.runs.lock import lock
from metrics.base import Measurement
from metrics.heterogeneity.metric import Heterogeneity
from metrics.shift.records import LabelledRecords
from metrics.shift.verdict import shift_verdicts
from tests.conftest import QUICK
from tests.support.metric_views import (
    Rows,
    assert_in_range,
    client_view,
    network,
    server_view,
    some_rows,
    value_of,
    with_sent,
)


class Alone:
    """Stand-alone models that are at hand."""

    def __init__(self, *seeds: int) -> None:
        self.seeds = seeds

    def weights(self, client: int) -> Mapping[str, Tensor]:
        return network(self.seeds[client]).state_dict()


def measured(metric: Heterogeneity, rows: Rows, client: int = 0) -> Measurement:
    view = replace(client_view(network(), {"client_train": rows}, "after_aggregate"), client=client)
    return metric.client(view)


def with_models(*seeds: int, second: int | None = None) -> Heterogeneity:
    metric = Heterogeneity()
    metric.models = {"standalone": Alone(*seeds), **({"second": Alone(second)} if second is not None else {})}
    return metric


def test_disagreement_is_that_of_the_two_models() -> None:
    rows, metric = some_rows(80), with_models(5, second=5)
    found = measured(metric, rows).rows
    with torch.no_grad():
        own, common = (torch.softmax(network(seed)(rows.features).double(), 1).cpu() for seed in (5, 0))
    hard = own.argmax(1) != common.argmax(1)
    row = value_of(found, "disagreement")
    assert row.value == pytest.approx(float(hard.double().mean())) and row.n == 80 and 0 < row.value < 1
    # A second model that is the first agrees with it.
    assert row.chance == 0 and row.p is not None and row.p < 0.01
    gap = value_of(found, "confidence_gap")
    assert gap.value == pytest.approx(float((own.amax(1) - common.amax(1)).mean()), abs=1e-6) and gap.p is None
    clusters = int(value_of(found, "record_clusters").value)
    sizes = [value_of(found, "record_cluster_size", subject=str(cluster)).value for cluster in range(clusters)]
    assert sum(sizes) == int(hard.sum())
    right = common.argmax(1) == rows.labels.cpu()
    hits = [value_of(found, "record_cluster_accuracy", subject=str(c)).value * sizes[c] for c in range(clusters)]
    assert sum(hits) == pytest.approx(int((right & hard).sum()))
    assert_in_range(metric, found)


def test_the_same_model_agrees_with_itself() -> None:
    found = measured(with_models(0), some_rows(40)).rows
    assert value_of(found, "disagreement").value == 0 == value_of(found, "record_clusters").value
    assert value_of(found, "disagreement").chance is None


def test_what_a_client_sends_is_limited() -> None:
    rows = some_rows(300)
    sent = measured(Heterogeneity(records=50, numbers=4), rows).payload
    assert {name: array.shape for name, array in sent.items()} == {"features": (50, 4), "labels": (50,)}
    assert sent["features"].dtype == np.float32
    assert not measured(Heterogeneity(records=0), rows).payload
    counts = measured(with_models(1), rows).payload["disagreements"]
    assert counts.shape == (4, 3) and counts[:, 0].tolist() == np.bincount(rows.labels.cpu(), minlength=4).tolist()


def test_without_models_or_examples_values_are_missing_with_a_reason() -> None:
    found = measured(Heterogeneity(), some_rows(40)).rows
    assert "there is no stand-alone model" in str(value_of(found, "disagreement").reason)
    view = client_view(network(), {}, "after_aggregate")
    assert "no examples" in str(value_of(Heterogeneity().client(view).rows, "record_clusters").reason)
    wrong = Rows(torch.full((5, 6), torch.nan), torch.zeros(5, dtype=torch.long))
    assert "NaN or infinite" in str(value_of(measured(with_models(1), wrong).rows, "disagreement").reason)


def test_label_sets_are_no_classes_and_say_so() -> None:
    rows = some_rows(40)
    sets = Rows(rows.features, torch.nn.functional.one_hot(rows.labels, 4))
    view = replace(
        client_view(network(), {"client_train": sets}, "after_aggregate"), objective=BinaryCrossEntropy(), client=0
    )
    found = with_models(1).client(view)
    reasons = {row.metric: str(row.reason) for row in found.rows if isinstance(row, Record)}
    assert {"disagreement", "record_clusters", "concept_shift"} <= set(reasons) and not found.payload
    assert set(reasons.values()) == {"several labels of an example may hold, and not one class"}
    nobody = server_view(network(), {}, dict.fromkeys(range(2), 40), moment="after_aggregate")
    assert not Heterogeneity().server(with_sent(nobody, {0: found, 1: found})).rows


def test_a_model_of_another_network_is_told() -> None:
    class Other:
        def weights(self, client: int) -> Mapping[str, Tensor]:
            return torch.nn.Linear(2, 2).state_dict()

    metric = Heterogeneity()
    metric.models = {"standalone": Other()}
    with pytest.raises(ValueError, match=r"the stand-alone model is of another network"):
        measured(metric, some_rows(20))
    with pytest.raises(ValueError, match=r"a stand-alone model is a client's, and the server has none"):
        with_models(1).client(client_view(network(), {"client_train": some_rows(20)}, "after_aggregate"))


def labelled(seed: int, odd: bool, n: int = 120) -> Rows:
    """Return records around a centre for each of four classes, by option with labels that mean something else."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (n,), generator=random)
    features = 3 * torch.eye(4, 6)[labels] + torch.randn(n, 6, generator=random)
    return Rows(features, (labels + 1) % 4 if odd else labels)


def test_the_server_says_what_the_functions_say() -> None:
    metric = Heterogeneity(records=100)
    sent = {client: measured(metric, labelled(client, odd=client == 0), client) for client in range(6)}
    view = server_view(network(), {}, dict.fromkeys(range(6), 120), moment="after_aggregate")
    rows = metric.server(with_sent(view, sent)).rows
    named = value_of(rows, "shift_named", client=0, subject="concept")
    assert named.value == 1 and value_of(rows, "shift_named", client=3, subject="concept").value == 0
    clients = {c: LabelledRecords(m.payload["features"].astype(float), m.payload["labels"]) for c, m in sent.items()}
    expected = shift_verdicts(clients, 4, seed=view.seed)[2]
    for kind, test in expected.tests.items():
        row = value_of(rows, f"{kind}_shift", client=2)
        assert (row.value, row.p) == (test.effect, expected.adjusted[kind])
    assert_in_range(metric, rows)


def test_few_records_and_few_clients_are_no_verdict() -> None:
    metric = Heterogeneity()
    view = server_view(network(), {}, {0: 10, 1: 120}, moment="after_aggregate")
    sent = {0: measured(metric, labelled(0, False, 10)), 1: measured(metric, labelled(1, False), 1)}
    rows = metric.server(with_sent(view, sent)).rows
    assert value_of(rows, "label_shift", client=0).reason == "20 examples or more are needed, got 10"
    assert (
        value_of(rows, "label_shift", client=1).reason == "two clients or more with enough examples are needed, got 1"
    )
    assert not Heterogeneity(records=0).server(view).rows


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"records must be 20 or more, or 0 for no tests of shift, got 5"):
        Heterogeneity(records=5)
    with pytest.raises(ValueError, match=r"numbers must be 1 or more, got 0"):
        Heterogeneity(numbers=0)
    with pytest.raises(ValueError, match=r"moments must be some of start, after_aggregate, final"):
        Heterogeneity(moments=["after_local"])


@pytest.mark.slow
def test_a_run_trains_clients_alone_first_and_finds_them_again(
    quick_run: Callable[..., Path], tables: Callable[[Path], object], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    chosen = ["metrics=[evaluation,heterogeneity]"]
    run = quick_run(*chosen, folder=tmp_path)
    (alone,) = (tmp_path / "main").glob("digits-local-*")
    records = fedlayers.read(run).records
    found = records[(records.metric == "disagreement") & (records["round"] == 2)].set_index("client")["value"]
    assert sorted(found.index) == [0, 1, 2, 3]
    opened, common = fedlayers.open(alone), fedlayers.open(run).model(2)
    examples = opened.data.of(1)["client_train"]
    features, _ = examples.batch(torch.arange(len(examples)))
    with torch.no_grad():
        labels = [model(features).argmax(1) for model in (opened.model(2, 1), common)]
    assert found[1] == pytest.approx(float((labels[0] != labels[1]).double().mean()))
    capsys.readouterr()
    again = quick_run(*chosen, "force=true", folder=tmp_path)
    assert "stand-alone models of the clients" not in capsys.readouterr().out
    other = quick_run(*chosen, f"metrics.heterogeneity.standalone={alone}", folder=tmp_path)
    assert len(fedlayers.read(other).records) == len(fedlayers.read(again).records)


def test_a_folder_without_clients_models_is_refused(quick_run: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"metrics\.heterogeneity\.standalone must be the folder of a run of algorithm"):
        quick_run("metrics=[evaluation,heterogeneity]", f"metrics.heterogeneity.standalone={tmp_path}")


def test_a_local_run_has_nobody_to_compare_with(quick_run: Callable[..., Path], tmp_path: Path) -> None:
    run = quick_run("metrics=[evaluation,heterogeneity]", "algorithm=local", folder=tmp_path)
    assert list((tmp_path / "main").iterdir()) == [run]
    records = fedlayers.read(run).records
    assert records[records.metric == "disagreement"].reason.str.contains("no stand-alone model").all()


def test_models_that_another_process_trains_are_waited_for_by_the_user(
    quick_run: Callable[..., Path], tmp_path: Path
) -> None:
    config = compose_config(
        [*(word for word in QUICK if not word.startswith("metrics=")), "metrics=[evaluation,heterogeneity]"]
    )
    (other,) = stand_alone_runs(replace(config, results_dir=str(tmp_path)))
    folder = RunFolder(run_folder(other))
    folder.create(other)
    with lock(folder.path), pytest.raises(UserError, match=r"must be complete before this run starts, and another"):
        quick_run("metrics=[evaluation,heterogeneity]", folder=tmp_path)
