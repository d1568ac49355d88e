"""Where disagreement comes from: means of classes, tiers and groups of clients, and the layer at which models part."""

from pathlib import Path

import numpy as np
import pytest

from fedlayers.core.errors import UserError
from fedlayers.core.records import Record
from fedlayers.heterogeneity import origins
from fedlayers.heterogeneity.two_models import TwoModels
from fedlayers.opening.run import Run
from tests.support.chart_runs import run_with
from tests.support.compared_runs import write_compared_runs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(write_compared_runs(tmp_path_factory.mktemp("results"))[0])


def test_classes_tiers_and_groups_have_the_means_of_their_records(run: Run) -> None:
    two = TwoModels(run, 1)
    truth, odd = np.asarray(two.records.truth), two.inconsistent
    classes = {found.group: found for found in origins.by_class(two)}
    assert sum(found.n for found in classes.values()) == len(truth)
    assert all(classes[str(label)].value == pytest.approx(odd[truth == label].mean()) for label in set(truth.tolist()))
    tiers = {found.group: found.n for found in origins.by_tier(two)}
    assert sum(tiers.values()) == len(truth) and {*tiers} <= {"head", "medium", "tail"}
    planted = run.data.planted
    assert planted is not None
    groups = {found.group: found for found in origins.by_client_group(run, dict(enumerate(planted)))}
    mine = groups[str(planted[1])]
    assert mine.value == pytest.approx(odd.mean()) and mine.n == len(odd)


def test_clusters_of_clients_are_those_found_up_to_a_round(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has found no clusters of clients: metrics=\[evaluation,clusters\] with"):
        origins.client_clusters(run)
    rows = [
        Record("cluster", float(client % number), client=client, round=number, moment="after_local", owner="client")
        for number in (2, 3)
        for client in range(3)
    ]
    clustered = Run(run_with(tmp_path, rows).path)
    assert origins.client_clusters(clustered) == {0: "cluster 0", 1: "cluster 1", 2: "cluster 2"}
    for wanted in (1, 2):
        assert origins.client_clusters(clustered, wanted) == {0: "cluster 0", 1: "cluster 1", 2: "cluster 0"}


def test_models_part_where_one_of_them_is_broken(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    two = TwoModels(run, 1)
    two.__dict__["federated"] = TwoModels(run, 1).local
    two.federated.get_submodule("fc2").weight.data.zero_()  # type: ignore[operator]
    monkeypatch.setattr(origins, "standalone_model", lambda *_, **__: two.local)
    found = origins.by_depth(two)
    assert found.layers[0].value == 0 < found.layers[1].value and found.parting == 1


def test_what_is_lacking_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"has no second stand-alone models, .* --second trains them"):
        origins.by_depth(TwoModels(run, 1))
    sampled = TwoModels(run, 1, None, "stratified")
    with pytest.raises(UserError, match=r"inputs must be a client's own records, which have labels, got 'stratified'"):
        origins.by_class(sampled)
    monkeypatch.setattr(origins, "standalone_model", lambda *_, **__: sampled.local)
    monkeypatch.setattr(origins, "_labels", lambda _: [0] * 3)
    few = TwoModels(run, 1)
    few.__dict__["records"] = type("Few", (), {"features": few.records.features[:3]})()
    with pytest.raises(UserError, match=r"features must hold 4 records or more, got 3"):
        origins.by_depth(few)
