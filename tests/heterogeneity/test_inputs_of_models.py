"""Samples of the space that a client's records span, as inputs of the same questions: without a ground truth."""

import numpy as np
import pytest
import torch

from fedlayers.core.errors import UserError
from fedlayers.core.seeding import derive
from fedlayers.explore.slow import works
from fedlayers.heterogeneity.clusters import inconsistent_clusters
from fedlayers.heterogeneity.input_sets import records_of
from fedlayers.heterogeneity.local_records import local_records
from fedlayers.heterogeneity.over_rounds import over_rounds
from fedlayers.heterogeneity.two_models import TwoModels
from fedlayers.opening.run import Run
from metrics.input_sets.samples import stratified_sample, systematic_sample
from tests.support.compared_runs import write_compared_runs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(write_compared_runs(tmp_path_factory.mktemp("results"))[0])


@pytest.mark.parametrize("inputs", ["stratified", "systematic"])
def test_samples_are_those_of_the_generators_and_models_are_asked_about_them(run: Run, inputs: str) -> None:
    own, found = local_records(run, 1), records_of(run, 1, inputs)
    seed = derive(run.config.seed, "space sample", client=1)
    known = (
        stratified_sample(own.features, len(own), seed)
        if inputs == "stratified"
        else systematic_sample(own.features, len(own))
    )
    assert torch.equal(found.features, known.float()) and found.truth is None and set(found.scopes) == {"space_sample"}
    two = TwoModels(run, 1, 2, inputs)
    assert two.federated_probabilities.shape == (len(found), 10) and two.federated_hits is None
    part = own.parts["client_train"]
    torch.testing.assert_close(found.raw([0]) * part.scale.float() + part.shift.float(), found.features[:1])
    with pytest.raises(UserError, match=r"examples must be numbers in 0 … \d+, got 9999"):
        found.raw([9999])


def test_what_needs_labels_is_absent_for_samples(run: Run) -> None:
    rounds = over_rounds(run, 1, "stratified")
    assert np.isnan(rounds.accuracy).all() and np.isnan(rounds.local_accuracy) and (rounds.disagreement > 0).any()
    two = TwoModels(run, 1, 2, "stratified")
    assert np.isnan(inconsistent_clusters(two, 1).accuracy).all()
    settings = {"client": 1, "round": 2, "inputs": "stratified", "examples": [3, 0]}
    outputs = works.outputs(run.folder, settings, lambda *_: None)["records"]
    assert outputs["truth"].null_count == len(outputs) == len(two.records)
    examples = works.examples(run.folder, settings, lambda *_: None)["records"]
    assert examples["truth"].null_count == 2
    assert np.array(examples["features"].to_pylist()) == pytest.approx(two.records.raw([3, 0]).flatten(1).numpy())


def test_unknown_inputs_and_what_spans_no_space_are_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"inputs must be one of local, .*, systematic, got 'stratifed' \(did you mean"):
        records_of(run, 1, "stratifed")
    monkeypatch.setattr("fedlayers.heterogeneity.input_sets.MOST", 0)
    with pytest.raises(UserError, match=r"client 1 has too few different records to sample from: count must be 1"):
        records_of(run, 1, "systematic")
    monkeypatch.setattr(type(run.data), "has_tokens", True)
    with pytest.raises(UserError, match=r"between texts is nothing to sample"):
        records_of(run, 1, "systematic")
