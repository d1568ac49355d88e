"""Clients that mix models, with others', with the global one, or with their own examples: steps by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, RecordDict
from sklearn.neighbors import KNeighborsClassifier

import fedlayers
from clients.local import LocalClient
from clients.mixtures.fedala import FedALAClient
from clients.mixtures.fedfomo import FedFomoClient
from clients.mixtures.knnper import KNNPerClient, votes
from fedlayers.core.errors import UserError
from fedlayers.flower.contents import array_record
from tests.support.one_example import session_on_three_weights

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
CAME, OWN = np.array([[0.5], [-1.0], [0.2]]), np.array([[0.1], [0.4], [-0.3]])
OTHERS = np.array([[[0.0], [1.0], [0.0]], [[0.3], [-0.2], [0.1]], [[-0.5], [0.9], [0.1]]])
WORDS = ["engine=local", "partition=dirichlet", "metrics=[evaluation]"]


def single(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32)


def client_of(kind: Any, state: dict[str, np.ndarray], sent: dict[str, np.ndarray] | None = None, **more: Any) -> Any:
    records = {name: array_record({"weight": single(array)}) for name, array in (sent or {}).items()}
    content = RecordDict({"config": ConfigRecord({}), "arrays": array_record({"weight": single(CAME)}), **records})
    found = RecordDict({name: array_record({"weight": single(array)}) for name, array in state.items()})
    client = kind(session_on_three_weights(content, found), **more)
    mine = client.session.workspace.federation.of(0)["client_train"]
    client.session.workspace.federation.of = lambda _: {"client_train": mine, "client_val": mine}
    return client


def probabilities(weights: np.ndarray) -> np.ndarray:
    odds = np.exp(3 * weights.ravel())
    return np.asarray(odds / odds.sum())


def loss(weights: np.ndarray) -> float:
    return -float(np.log(probabilities(weights)[1]))


def learned(aggregation: np.ndarray, passes: int) -> np.ndarray:
    """Return W after steps W ← clip(W − η ∇L ⊙ (Θ − Θ_k), 0, 1) with η = 0.5, at x = 3 and class 1."""
    for _ in range(passes):
        slope = 3 * (probabilities(OWN + (CAME - OWN) * aggregation) - [0, 1, 0])[:, None]
        aggregation = np.clip(aggregation - 0.5 * slope * (CAME - OWN), 0, 1)
    return aggregation


def test_fedala_learns_how_much_it_takes_over_number_by_number() -> None:
    before = np.array([[0.9], [0.8], [0.3]])
    options: dict[str, Any] = {"layers": 1, "share": 1.0, "weight_lr": 0.5}
    client = client_of(FedALAClient, {"last": OWN, "aggregation": before}, **options)
    start = client.initial({"weight": torch.tensor(single(CAME))})["weight"]
    expected = learned(before, 1)
    assert 0 < expected[0, 0] < 0.9
    np.testing.assert_allclose(start.numpy(), OWN + (CAME - OWN) * expected, atol=1e-6)
    client.fit([single(CAME)], {})
    np.testing.assert_allclose(client.session.stored("aggregation")["weight"], expected, atol=1e-6)


def test_the_first_time_fedala_learns_until_the_loss_settles() -> None:
    client = client_of(FedALAClient, {"last": OWN}, layers=1, share=1.0, weight_lr=0.5)
    start = client.initial({"weight": torch.tensor(single(CAME))})["weight"]
    losses = [loss(OWN + (CAME - OWN) * learned(np.ones((3, 1)), done)) for done in range(30)]
    passes = next(n for n in range(11, 30) if np.std(losses[n - 10 : n]) < 0.1)
    np.testing.assert_allclose(start.numpy(), OWN + (CAME - OWN) * learned(np.ones((3, 1)), passes), atol=1e-6)


def test_before_it_trained_fedala_starts_from_the_global_model() -> None:
    came = {"weight": torch.tensor(single(CAME))}
    client = client_of(FedALAClient, {}, layers=1, share=0.8, weight_lr=1.0)
    assert client.initial(came) is came and set(client.evaluated_models(came)) == {"global"}


def test_fedfomo_weighs_models_by_what_they_gain_and_how_far_they_are() -> None:
    client = client_of(FedFomoClient, {"model": OWN}, {"others": OTHERS})
    start = client.initial({"weight": torch.tensor(single(CAME))})["weight"]
    weights = np.array([(loss(OWN) - loss(one)) / np.linalg.norm(one - OWN) for one in OTHERS])
    assert (weights > 0).tolist() == [True, False, True]
    shares = np.maximum(weights, 0) / np.maximum(weights, 0).sum()
    expected = OWN + sum(share * (one - OWN) for share, one in zip(shares, OTHERS, strict=True))
    np.testing.assert_allclose(start.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(client.weights, weights, atol=1e-5)


def test_fedfomo_keeps_its_model_where_no_other_is_better_or_it_is_its_own() -> None:
    came = {"weight": torch.tensor(single(CAME))}
    worse = client_of(FedFomoClient, {"model": OWN}, {"others": np.stack([OWN, OTHERS[1]])})
    assert np.array_equal(worse.initial(came)["weight"], single(OWN)) and worse.weights[0] == 0 > worse.weights[1]
    alone = client_of(FedFomoClient, {"model": OWN})
    assert np.array_equal(alone.initial(came)["weight"], LocalClient(alone.session).initial(came)["weight"])
    assert alone.beside(None) == {}


def test_neighbours_vote_as_scikit_learns_do() -> None:
    random = np.random.default_rng(0)
    stored, rows, labels = random.standard_normal((40, 5)), random.standard_normal((9, 5)), random.integers(0, 3, 40)
    known = KNeighborsClassifier(7, weights=lambda d: np.exp(-d / 0.5)).fit(stored, labels)
    found = votes(torch.tensor(rows), torch.tensor(stored), torch.tensor(labels), 7, 0.5, 3)
    np.testing.assert_allclose(found.numpy(), known.predict_proba(rows), atol=1e-12)
    every = votes(torch.tensor(rows), torch.tensor(stored[:4]), torch.tensor([2, 2, 2, 2]), 7, 0.5, 3)
    np.testing.assert_allclose(every.numpy(), np.tile([0.0, 0.0, 1.0], (9, 1)))


@pytest.mark.parametrize(("share", "best"), [(0.3, 0.3), (None, 1.0)])
def test_knnper_answers_with_the_mixture_and_takes_the_best_on_validation(share: float | None, best: float) -> None:
    client = client_of(KNNPerClient, {}, neighbours=10, scale=1.0, share=share)
    model = client.evaluated_models({"weight": torch.tensor(single(CAME))})["personal"]
    expected = best * np.array([0, 1, 0]) + (1 - best) * probabilities(CAME)
    found = model.answers["client_val"]
    np.testing.assert_allclose(found.logits.exp().numpy()[0], expected, atol=1e-6)
    assert float(found.losses) == pytest.approx(-np.log(expected[1]), abs=1e-6)


def test_of_knnpers_mixture_nothing_but_its_answers_is_measured(quick_run: Run) -> None:
    run = quick_run(
        "engine=local", "algorithm=knnper", "rounds=1", "split.unseen_clients=1", "metrics=[evaluation,weights]"
    )
    records = fedlayers.read(run).records.query("model == 'personal' and moment != 'after_local'")
    assert set(records["scope"]) == {"client_val", "client_test", "unseen_val", "unseen_test"}
    assert (records["status"] == "ok").mean() > 0.9 and records["layer"].isna().all()


def test_without_others_models_fedfomo_is_local(quick_run: Run, tables: Tables) -> None:
    assert tables(quick_run(*WORDS, "algorithm=fedfomo", "algorithm.models=0")) == tables(
        quick_run(*WORDS, "algorithm=local")
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["algorithm=fedala", "algorithm.layers=-1"], r"algorithm\.layers must be 0 or more \(0 is FedAvg\), got -1"),
        (["algorithm=fedala", "algorithm.share=0"], r"algorithm\.share must be in \(0, 1\], got 0"),
        (["algorithm=fedala", "algorithm.weight_lr=0"], r"algorithm\.weight_lr must be a positive number, got 0"),
        (["algorithm=fedala", "plan=head"], r"plan must be all with an algorithm that mixes a client's model"),
        (["algorithm=knnper", "algorithm.neighbours=0"], r"algorithm\.neighbours must be 1 or more, got 0"),
        (["algorithm=knnper", "algorithm.scale=0"], r"algorithm\.scale must be a positive number, got 0"),
        (["algorithm=knnper", "algorithm.share=1.5"], r"algorithm\.share must be in \[0, 1\] \(0 is FedAvg\), or null"),
        (["algorithm=knnper", "objective=mse"], r"objective must be one that takes logits of classes with algorithm="),
        (
            ["algorithm=fedfomo", "split.val=0", "split.train=0.9"],
            r"split\.val must be positive with algorithm=fedfomo",
        ),
        (
            ["algorithm=fedala", "algorithm.layers=99"],
            r"algorithm\.layers must be at most 2, got 99; the model has no more",
        ),
        (["algorithm=fedfomo", "algorithm.models=-1"], r"algorithm\.models must be 0 or more \(0 is local training\)"),
        (["algorithm=fedfomo", "algorithm.epsilon=2"], r"algorithm\.epsilon must be in \[0, 1\], got 2"),
        (["algorithm=pfedla", "algorithm.hypernetwork_lr=-1"], r"algorithm\.hypernetwork_lr must be 0 or more"),
    ],
)
def test_what_cannot_be_is_said_before_the_run(quick_run: Run, words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        quick_run("engine=local", *words)
