import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import fedlayers
from fedlayers.core.quantities import Quantities
from fedlayers.views.chain.answered import Answered
from fedlayers.views.chain.answers import answers
from fedlayers.views.chain.groups import ChainStudy
from fedlayers.views.chain.questions import QUESTIONS
from fedlayers.views.chain.statements import beside, statement
from fedlayers.views.run_groups import settings_of
from tests.support.chain_tables import Chain, write_chain


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, pooled and federated: the federated greedy one rises less."""
    folder = tmp_path_factory.mktemp("results") / "chains"
    for seed in range(3):
        for model in ("mlp", "greedy_mlp"):
            for algorithm, clients in (("centralized", 1), ("fedavg", 3)):
                slope = 0.04 if (model, algorithm) == ("greedy_mlp", "fedavg") else 0.1
                write_chain(folder, Chain(model, algorithm, seed, clients, rounds=1, slope=slope))
    return folder


@pytest.fixture(scope="module")
def answered(study: Path) -> Answered:
    return fedlayers.read(study).answers()


def row(answered: Answered, group: str, quantity: str, **more: object) -> "pd.Series[Any]":
    table = answered.table
    for key, value in {"group": group, "quantity": quantity, "who": "global model", **more}.items():
        table = table[table[key] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_change_and_trend_are_those_of_the_runs(study: Path, answered: Answered) -> None:
    found = row(answered, "mlp, 3 clients, fedavg", "probe_accuracy", variant="halves")
    records = fedlayers.read(study).records.query(
        "model_name == 'mlp' and algorithm == 'fedavg' and metric == 'probe_accuracy' and variant == 'halves'"
    )
    last = records[records["owner"] == "server"]
    values = last.pivot_table(index="seed", columns="layer_index", values="value").to_numpy()
    change = values[:, 3] - values[:, 0]
    low, high = stats.t.interval(0.95, 2, loc=change.mean(), scale=stats.sem(change))
    assert (found["change"], found["change_low"], found["change_high"]) == pytest.approx((change.mean(), low, high))
    assert found["p"] == pytest.approx(2 * stats.page_trend_test(values).pvalue)
    assert (found["test"], found["runs"], found["layers"]) == ("Page's L", 3, 4)
    assert (found["first_layer"], found["last_layer"], found["highest"]) == ("fc1", "fc4", "fc4")
    assert (found["verdict"], found["main"]) == ("yes", True)
    assert not row(answered, "mlp, 3 clients, fedavg", "probe_accuracy", variant="folds=5")["main"]


def test_every_question_has_one_main_answer_a_group(answered: Answered) -> None:
    main = answered.table[answered.table["main"]]
    assert main.groupby("group")["question"].apply(list).tolist() == [[q.name for q in QUESTIONS]] * 4
    assert set(main["quantity"]) == {question.main for question in QUESTIONS}
    assert set(main["who"]) == {"global model"}
    compressing = main[main["question"] == "compressing"]
    assert set(compressing["verdict"]) == {"yes"} and (compressing["change"] < -5).all()
    different = main[main["question"] == "different"]
    assert set(different["verdict"]) == {"yes"}
    assert (different["layers"] == 3).all() and (different["first_layer"] == "fc2").all()
    assert different["level"].to_numpy() == pytest.approx(0.7, abs=0.02)


def test_whether_federating_changes_the_answer(answered: Answered) -> None:
    table = answered.differences
    main = table[table["main"] & (table["question"] == "predictive")].set_index(["group", "other"])
    greedy: Any = main.loc[("greedy_mlp, 1 client, centralized", "greedy_mlp, 3 clients, fedavg")]
    plain: Any = main.loc[("mlp, 1 client, centralized", "mlp, 3 clients, fedavg")]
    assert greedy["difference"] == pytest.approx(-0.18, abs=0.05) and greedy["high"] < 0 and greedy["paired"]
    assert plain["low"] < 0 < plain["high"]
    assert ("greedy_mlp, 1 client, centralized", "mlp, 1 client, centralized") in main.index
    # Two things at once would say nothing of either.
    assert ("greedy_mlp, 3 clients, fedavg", "mlp, 1 client, centralized") not in main.index
    assert "mlp, 3 clients, fedavg against mlp, 1 client, centralized: probe accuracy" in answered.text
    assert "(3 seeds, paired): they differ." in answered.text


def test_clients_answer_for_themselves(answered: Answered) -> None:
    clients = answered.clients
    federated = clients[(clients["group"] == "mlp, 3 clients, fedavg") & (clients["quantity"] == "cka_previous")]
    assert len(federated) == 9 and set(federated["client"]) == {0, 1, 2} and set(federated["layers"]) == {3}
    assert federated["change"].to_numpy() == pytest.approx(0.2, abs=0.05)
    assert "Of 3 clients' own models in 3 runs: probe accuracy from the first to the last layer" in answered.text
    assert "it rises in 100% of them and falls in 0%" in answered.text


def test_one_run_says_what_it_cannot_say(tmp_path: Path) -> None:
    text = fedlayers.read(write_chain(tmp_path, Chain())).answers().text
    assert "No order of 4 layers in 1 run could be told from chance (p is 0.083 or more): take more seeds." in text
    assert "global model: Cannot be said: probe accuracy goes from" in text
    assert "Yes: CKA previous is" in text and "One run: intervals are those over examples." in text


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (("fc1",), "Cannot be said: probe accuracy is 0.35 at fc1. One layer has no trend over depth."),
        (("fc1", "fc2"), "Two layers of one run have no trend that a test could tell from chance."),
        (tuple(f"fc{n}" for n in range(1, 12)), "Yes: probe accuracy goes from 0.35 at fc1 to 0.55 at fc11"),
    ],
)
def test_any_number_of_layers(tmp_path: Path, layers: tuple[str, ...], said: str) -> None:
    chain = Chain(layers=layers, rounds=1, slope=0.02, noise=1e-4)
    assert said in fedlayers.read(write_chain(tmp_path, chain)).answers().text


def test_layers_stand_in_the_order_of_the_model(tmp_path: Path) -> None:
    layers = tuple(f"fc{n}" for n in range(1, 12))
    for seed in range(2):
        write_chain(tmp_path, Chain(seed=seed, layers=layers, clients=1, rounds=1, slope=-0.02, noise=1e-4))
    found = fedlayers.read(tmp_path).answers().table.iloc[0]
    assert (found["first_layer"], found["last_layer"], found["verdict"], found["layers"]) == ("fc1", "fc11", "no", 11)


def test_models_of_differing_depth_are_compared(tmp_path: Path) -> None:
    for seed in range(2):
        write_chain(tmp_path, Chain("mlp", seed=seed, clients=1, layers=("fc1", "fc2")))
        write_chain(tmp_path, Chain("greedy_mlp", seed=seed, clients=1, layers=("stage1", "stage2", "stage3")))
    found = fedlayers.read(tmp_path).answers()
    assert found.differences.iloc[0]["difference"] == pytest.approx(-0.1, abs=0.05)
    assert {"fc2", "stage3"} == set(found.table.query("main and question == 'predictive'")["last_layer"])


def test_neighbours_that_hardly_differ_are_called_so(answered: Answered) -> None:
    rows = answered.readings[answered.readings["metric"] == "cka_previous"]
    generator = np.random.default_rng(0)
    for level, verdict in ((0.999, "hardly"), (1.0, "not shown"), (0.5, "yes")):
        values = level + 1e-5 * generator.choice([-1, 1], len(rows))
        found = answers(rows.assign(value=values), Quantities())
        assert {one.verdict for one in found if one.main} == {verdict}, level
    one_run = rows[rows["run"] == rows["run"].iloc[0]].assign(stderr=np.nan)
    told = answers(one_run[one_run["who"] == "global model"], Quantities())[0]
    assert "no standard errors: take more seeds" in statement(told, Quantities())


def test_a_value_that_is_missing_leaves_its_layer_out(study: Path) -> None:
    tables = fedlayers.read(study)
    first = tables.records["run"].astype(str).min()
    lost = (tables.records["run"] == first) & (tables.records["layer"] == "fc2")
    tables.__dict__["records"] = tables.records.assign(
        status=tables.records["status"].astype(object).where(~lost, "missing")
    )
    found = Answered.of(ChainStudy.of(tables.records, settings_of(tables.runs))).table
    told = found[found["main"] & (found["question"] == "predictive")].set_index("group")["layers"]
    assert told.to_dict() == {
        "greedy_mlp, 1 client, centralized": 3, "greedy_mlp, 3 clients, fedavg": 4,
        "mlp, 1 client, centralized": 4, "mlp, 3 clients, fedavg": 4,
    }  # fmt: skip


def test_a_run_without_values_is_told(study: Path) -> None:
    tables = fedlayers.read(study)
    lost = tables.records["run"] == Chain("mlp", "fedavg", 1).name
    records = tables.records.assign(status=tables.records["status"].astype(object).where(~lost, "missing"))
    found = Answered.of(ChainStudy.of(records, settings_of(tables.runs)))
    assert row(found, "mlp, 3 clients, fedavg", "cka_previous")["runs"] == 2
    assert "1 of 3 runs has no value of it." in found.text
    assert row(found, "mlp, 1 client, centralized", "cka_previous")["reason"] == ""


def test_without_such_quantities_there_is_no_answer(tmp_path: Path) -> None:
    with fedlayers.Writer(tmp_path / "run", layers=["fc1"]) as writer:
        writer.add(fedlayers.Record("norm", 1.0, layer="fc1"))
    found = fedlayers.read(tmp_path / "run").answers()
    assert found.table.empty and found.differences.empty and found.clients.empty and found.text == ""


def test_what_stands_beside_says_what_it_lacks(answered: Answered) -> None:
    rows = answered.readings
    lost = (rows["metric"] == "anchor_accuracy") & (rows["place"] > 0)
    found = [one for one in answers(rows[~lost], Quantities()) if one.quantity in ("anchor_accuracy", "ace_js")]
    told = beside(found[:1], Quantities())
    assert told == "anchor accuracy: cannot be said, no two layers have a value in every run"
    assert np.isnan(found[0].change) and np.isnan(found[0].change_low)
    neighbours = next(one for one in found if one.quantity == "ace_js")
    assert re.fullmatch(r"ACE JS 0\.2\d* \[0\.2\d*, 0\.2\d*\]: yes", beside([neighbours], Quantities()))
    assert beside([], Quantities()) == ""
