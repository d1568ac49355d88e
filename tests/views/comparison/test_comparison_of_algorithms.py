import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fedlayers
from fedlayers.charts.study.comparison import ranks
from fedlayers.core.errors import UserError
from fedlayers.views.comparison.compared import AlgorithmComparison
from fedlayers.views.comparison.conclusions import _p, conclusions, told
from fedlayers.views.comparison.lacking import no_ranks
from fedlayers.views.comparison.ranking import Ranking
from fedlayers.views.comparison.sheets import sheets
from tests.support.scored_runs import write_scored

ALONE = [[0.50, 0.60, 0.70], [0.52, 0.58, 0.73], [0.48, 0.63, 0.72]]
AVERAGE = [[0.55, 0.59, 0.75], [0.58, 0.55, 0.74], [0.50, 0.61, 0.80]]


def study(folder: Path) -> Path:
    for seed in range(3):
        write_scored(folder, "local", seed, ALONE[seed])
        write_scored(folder, "fedavg", seed, AVERAGE[seed])
    return folder


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> AlgorithmComparison:
    return fedlayers.comparison(study(tmp_path_factory.mktemp("results") / "main"))


def cell(table: pd.DataFrame, **chosen: object) -> Any:
    """Return the one row with these values."""
    for column, value in chosen.items():
        table = table[table[column].isna() if value is None else table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_algorithms_are_summarised_over_seeds_with_clients_within(compared: AlgorithmComparison) -> None:
    row = cell(compared.algorithms, metric="accuracy", algorithm="fedavg")
    values = np.array(AVERAGE)
    assert (row["seeds"], row["clients"], row["missing"], row["setting"]) == (3, 3, 0, "Heart")
    assert row["mean"] == pytest.approx(values.mean()) and row["median"] == pytest.approx(np.median(values.mean(1)))
    assert row["variance"] == pytest.approx(values.var(axis=1).mean())
    assert row["variance_of_medians"] == pytest.approx(np.median(values, axis=0).var())
    assert row["worst_client"] == row["worst_decile"] == pytest.approx(values.min(axis=1).mean())
    assert (row["mean_interval"], row["median_interval"]) == ("t", "")


def test_clients_who_gain_are_counted(compared: AlgorithmComparison) -> None:
    row = cell(compared.algorithms, metric="accuracy", algorithm="fedavg")
    better = np.median(AVERAGE, axis=0) > np.median(ALONE, axis=0)
    assert row["better_than_local"] == pytest.approx(better.mean())
    assert row["wins_against_local"] == pytest.approx((np.array(AVERAGE) > np.array(ALONE)).mean())
    # Nobody is better off than with itself.
    assert math.isnan(row["participation"])
    assert cell(compared.algorithms, metric="loss", algorithm="fedavg")["better_than_local"] == pytest.approx(
        better.mean()
    )


def test_differences_are_paired_by_seed_and_client(compared: AlgorithmComparison) -> None:
    apart = np.array(ALONE) - np.array(AVERAGE)
    row = cell(compared.differences, metric="accuracy", client=None)
    assert (row["algorithm"], row["baseline"], row["seeds"]) == ("local", "fedavg", 3)
    assert row["mean"] == pytest.approx(apart.mean())
    of_client = cell(compared.differences, metric="accuracy", client=1)
    assert of_client["mean"] == pytest.approx(apart[:, 1].mean()) and of_client["median"] == np.median(apart[:, 1])


def test_every_client_has_a_row_with_its_name(compared: AlgorithmComparison) -> None:
    row = cell(compared.clients, metric="accuracy", algorithm="local", client=2)
    assert (row["client_name"], row["seeds"]) == ("switzerland", 3)
    assert row["mean"] == pytest.approx(np.mean(ALONE, axis=0)[2]) and row["median"] == 0.72


def test_ranks_are_over_blocks_of_one_seed(compared: AlgorithmComparison) -> None:
    one = next(one for one in compared.rankings if one.metric == "accuracy")
    assert one.algorithms == ("fedavg", "local") and one.test.blocks == 3
    assert any("cannot give a p below 0.25" in sentence for sentence in conclusions(compared))


def test_the_order_of_folders_changes_nothing(tmp_path: Path, compared: AlgorithmComparison) -> None:
    main = study(tmp_path / "main")
    runs = sorted(main.iterdir(), reverse=True)
    turned = fedlayers.comparison(*runs)
    for name, table in compared.tables().items():
        pd.testing.assert_frame_equal(turned.tables()[name], table)


def test_runs_that_differ_otherwise_make_settings(tmp_path: Path) -> None:
    for alpha in (0.1, 10.0):
        for fraction in (0.5, 1.0):
            for seed in range(2):
                for algorithm in ("local", "fedavg"):
                    config: dict[str, Any] = {
                        "partition__alpha": alpha,
                        "fraction": fraction,
                        "metrics__evaluation__rounds": seed,
                    }
                    write_scored(tmp_path, algorithm, seed, [0.5, 0.6], **config)
    found = fedlayers.comparison(tmp_path)
    assert sorted({run.setting for run in found.runs}) == [
        f"Heart, fraction={fraction}, partition.alpha={alpha}" for fraction in (0.5, 1.0) for alpha in (0.1, 10.0)
    ]
    assert {one.blocks: one.test.blocks for one in found.rankings if one.metric == "accuracy"} == {
        "runs": 8,
        "settings": 4,
    }


def test_settings_of_an_algorithm_and_plans_make_algorithms(tmp_path: Path) -> None:
    for seed in range(2):
        write_scored(tmp_path, "fedprox", seed, [0.5], algorithm__mu=0.1, algorithm__client__mu=0.1)
        write_scored(tmp_path, "fedprox", seed, [0.6], algorithm__mu=1.0, algorithm__client__mu=1.0)
        write_scored(tmp_path, "fedavg", seed, [0.6])
    found = fedlayers.comparison(tmp_path)
    assert {run.algorithm for run in found.runs} == {"fedavg", "fedprox, algorithm.mu=0.1", "fedprox, algorithm.mu=1.0"}
    assert {run.setting for run in found.runs} == {"Heart"}


def test_a_learning_rate_is_chosen_by_validation_and_reported_on_test(tmp_path: Path) -> None:
    for seed in range(3):
        # The best on test examples has the higher validation loss; one diverged in one seed.
        write_scored(tmp_path, "fedavg", seed, [0.6], validation_loss=0.8, training__lr=0.01)
        write_scored(tmp_path, "fedavg", seed, [0.9], validation_loss=0.9, training__lr=0.1)
        write_scored(tmp_path, "fedavg", seed, [0.95], validation_loss=math.nan if seed else 0.1, training__lr=1.0)
        write_scored(tmp_path, "local", seed, [0.7], training__lr=0.05)
    write_scored(tmp_path, "fedavg", 3, [0.99], validation_loss=0.0, training__lr=0.1)
    found = fedlayers.comparison(tmp_path)
    assert cell(found.algorithms, metric="accuracy", algorithm="fedavg")["mean"] == pytest.approx(0.6)
    chosen = found.tried[found.tried["chosen"]]
    assert [*chosen["tried"]] == ["training.lr=0.01"] and chosen["validation_loss"].item() == pytest.approx(0.8)
    told = "fedavg in Heart: training.lr=0.01 has the lowest validation loss of 0.01, 0.1, 1.0"
    assert any(sentence.startswith(told) for sentence in conclusions(found))


def test_without_validation_values_are_told_apart(tmp_path: Path) -> None:
    for lr in (0.1, 0.2):
        folder = write_scored(tmp_path, "fedavg", 0, [0.6], training__lr=lr)
        for part in (folder / "records").glob("*.parquet"):
            rows = pd.read_parquet(part)
            rows[rows["scope"] != "client_val"].to_parquet(part)
    found = fedlayers.comparison(tmp_path)
    assert {run.algorithm for run in found.runs} == {"fedavg, training.lr=0.1", "fedavg, training.lr=0.2"}
    assert (
        "fedavg was tried with training.lr=0.1, training.lr=0.2 and has no validation loss to choose by" in found.notes
    )


def test_the_best_round_is_that_of_the_lowest_validation_loss(tmp_path: Path) -> None:
    rounds = {1: [0.4, 0.4], 2: [0.7, 0.7], 3: [0.9, 0.9]}
    for seed in range(2):
        write_scored(tmp_path, "fedavg", seed, rounds, validation_loss=[2.0, 1.0, 1.0])
        write_scored(tmp_path, "local", seed, rounds, validation_loss=[2.0, 1.5, math.nan])

    def mean(algorithm: str, **reported: str) -> float:
        table = fedlayers.comparison(tmp_path, **reported).algorithms
        return float(cell(table, metric="accuracy", algorithm=algorithm)["mean"])

    assert mean("fedavg") == pytest.approx(0.9)
    assert mean("fedavg", round="best") == mean("local", round="best") == pytest.approx(0.7)
    assert mean("fedavg", moment="after_local") == pytest.approx(0.95)
    assert mean("fedavg", moment="after_local", round="best") == pytest.approx(0.85)


def test_what_is_lacking_is_told_in_a_sentence_each(tmp_path: Path) -> None:
    study(tmp_path)
    write_scored(tmp_path, "ditto", 0, [0.6, 0.6, 0.6])
    write_scored(tmp_path, "fedper", 0, [0.6, 0.6, 0.6], status="failed")
    found = fedlayers.comparison(tmp_path)
    why = "differences are of the seeds that both have, ranks of those that all ranked ones have"
    assert f"ditto lacks seed 1, 2: {why}" in found.notes
    assert any(note.startswith("not used: x-fedper-s0 (failed") for note in found.notes)
    assert cell(found.differences, metric="accuracy", algorithm="ditto", client=None)["seeds"] == 1
    assert next(one for one in found.rankings if one.metric == "accuracy").left_out == ((), 2)


def of_settings(found: AlgorithmComparison) -> Ranking:
    return next(one for one in found.rankings if (one.metric, one.blocks) == ("accuracy", "settings"))


def test_ranks_over_settings_are_by_the_seeds_that_all_have(tmp_path: Path) -> None:
    for alpha in (0.1, 1.0):
        for seed, (fedavg, local) in enumerate([(0.4, 0.5), (0.8, 0.9), (0.8, None), (0.8, None)]):
            # By the medians over its own seeds, 0.8 and 0.7, fedavg ranked first; where both are, local is better.
            write_scored(tmp_path, "fedavg", seed, [fedavg], partition__alpha=alpha)
            if local is not None:
                write_scored(tmp_path, "local", seed, [local], partition__alpha=alpha)
    found = fedlayers.comparison(tmp_path)
    one = of_settings(found)
    assert (one.algorithms, one.ranks.tolist(), one.left_out) == (("local", "fedavg"), [1.0, 2.0], ((), 0))
    assert one.test.blocks == 2 and one.test.statistic == pytest.approx(2.0)
    pairs = cell(found.tables()["pairs"], metric="accuracy", over="settings")
    assert (pairs["algorithm"], pairs["rank_difference"]) == ("local", 1.0)
    why = "differences are of the seeds that both have, ranks of those that all ranked ones have"
    assert f"local lacks seed 2, 3 in Heart, partition.alpha=0.1: {why}" in found.notes


def test_no_best_mean_is_marked_where_seeds_differ(tmp_path: Path) -> None:
    for alpha in (0.1, 1.0):
        for seed in range(2):
            write_scored(tmp_path, "fedavg", seed, [0.6 + 0.2 * seed], partition__alpha=alpha)
            if alpha == 1 or not seed:
                write_scored(tmp_path, "local", seed, [0.65], partition__alpha=alpha)
    found = fedlayers.comparison(tmp_path)
    overview, unlike, alike = sheets(found)
    first = [row[0] for row in overview.rows].index("fedavg")
    assert [{*one.best} for one in (overview, unlike, alike)] == [{(first, 2)}, set(), {(0, 2)}]
    text = told(found)
    assert text.count("\n* best mean; no test\n") == 2
    where = "Heart, partition.alpha=0.1"
    assert text.endswith(f"no best mean is marked in {where}, for means of different seeds are not alike")


def test_a_setting_without_a_common_seed_is_left_out_of_ranks(tmp_path: Path) -> None:
    for alpha in (0.1, 1.0, 10.0):
        for seed in range(2):
            write_scored(tmp_path, "fedavg", seed, [0.6], partition__alpha=alpha)
            write_scored(tmp_path, "local", seed + (2 if alpha == 10 else 0), [0.9], partition__alpha=alpha)
    found = fedlayers.comparison(tmp_path)
    one = of_settings(found)
    assert (one.test.blocks, one.settings, one.left_out) == (2, 2, ((), 1))
    left_out = "no seed that fedavg, local all have in Heart, partition.alpha=10.0: it is left out of ranks"
    assert [note for note in found.notes if "left out" in note] == [left_out]


def test_who_is_better_off_is_by_the_seeds_that_both_have(tmp_path: Path) -> None:
    for seed, (ditto, local, fedavg) in enumerate(
        [(0.5, 0.6, 0.4), (0.9, 0.9, 0.7), (0.9, None, 0.95), (0.9, None, 0.95)]
    ):
        # By medians over their own seeds ditto, 0.9, is better than local, 0.75; where both are it never is.
        write_scored(tmp_path, "ditto", seed, [ditto])
        write_scored(tmp_path, "fedavg", seed, [fedavg])
        if local is not None:
            write_scored(tmp_path, "local", seed, [local])
    row = cell(fedlayers.comparison(tmp_path).algorithms, metric="accuracy", algorithm="ditto")
    shares = ("better_than_local", "participation", "wins_against_local", "ties_with_local")
    assert [row[name] for name in shares] == [0.0, 0.0, 0.0, 0.5]


def test_shares_of_clients_need_a_common_seed(tmp_path: Path) -> None:
    write_scored(tmp_path, "local", 0, [0.5])
    write_scored(tmp_path, "fedavg", 1, [0.9])
    row = cell(fedlayers.comparison(tmp_path).algorithms, metric="accuracy", algorithm="fedavg")
    assert all(math.isnan(row[name]) for name in ("better_than_local", "wins_against_local", "ties_with_local"))


def test_ranks_and_marks_are_by_the_clients_that_all_have(tmp_path: Path) -> None:
    for seed in range(2):
        # By the mean over its own clients, 0.8, fedavg ranked first; of the client that both have it is the worse one.
        write_scored(tmp_path, "fedavg", seed, [math.nan, 0.8])
        write_scored(tmp_path, "local", seed, [0.3, 0.9])
    found = fedlayers.comparison(tmp_path)
    one = next(one for one in found.rankings if one.metric == "accuracy")
    assert (one.algorithms, one.ranks.tolist(), one.left_out) == (("local", "fedavg"), [1.0, 2.0], ((), 0))
    assert all(not sheet.best for sheet in sheets(found))
    assert "no best mean is marked, for means of different clients are not alike" in found.notes


def test_a_value_is_chosen_by_the_seeds_and_clients_that_all_were_tried_with(tmp_path: Path) -> None:
    for seed, losses in enumerate([(1.0, 0.9), (5.0, None)]):
        for lr, loss in zip((0.1, 0.2), losses, strict=True):
            if loss is not None:
                write_scored(tmp_path, "fedavg", seed, [0.5], validation_loss=loss, training__lr=lr)
    write_scored(tmp_path, "ditto", 0, [0.5], validation_loss=1.0, training__lr=0.1)
    write_scored(tmp_path, "ditto", 1, [0.5], validation_loss=0.5, training__lr=0.2)
    found = fedlayers.comparison(tmp_path)
    assert found.tried[["algorithm", "tried", "validation_loss"]].values.tolist() == [
        ["fedavg", "training.lr=0.1", 1.0],
        ["fedavg", "training.lr=0.2", 0.9],
    ]
    assert {run.algorithm for run in found.runs} == {"fedavg", "ditto, training.lr=0.1", "ditto, training.lr=0.2"}
    told = (
        "ditto was tried with training.lr=0.1, training.lr=0.2 and has no seed that all were tried with, or no client,"
    )
    assert f"{told} to choose by" in found.notes


def test_clients_that_never_train_are_compared_and_stand_beside_the_others(tmp_path: Path) -> None:
    for seed in range(2):
        write_scored(
            tmp_path, "fedavg", seed, {1: [0.5, 0.7], 2: [0.6, 0.8]}, validation_loss=[1.0, 2.0], unseen=[0.3, 0.5]
        )
        write_scored(tmp_path, "local", seed, {1: [0.8, 0.8], 2: [0.8, 0.8]}, validation_loss=[1.0, 1.0])
    row = cell(fedlayers.comparison(tmp_path).algorithms, metric="accuracy", algorithm="fedavg")
    assert [row[name] for name in ("after_aggregate", "after_local", "unseen")] == pytest.approx([0.7, 0.85, 0.4])
    header = next(iter(sheets(fedlayers.comparison(tmp_path)))).header
    assert header[-2:] == ("after local training", "unseen clients") and "after aggregation" not in header
    local = next(iter(sheets(fedlayers.comparison(tmp_path, moment="after_local", round="best"))))
    assert local.header[-2:] == ("after aggregation", "unseen clients")
    assert {row[0]: row[-2:] for row in local.rows} == {"fedavg": ("0.600", "0.400"), "local": ("0.800", "–")}
    unseen = fedlayers.comparison(tmp_path, clients="unseen")
    assert unseen.scores[unseen.scores["metric"] == "accuracy"]["client"].tolist() == [2, 3, 2, 3]
    assert next(iter(sheets(unseen))).title.startswith("Heart: unseen clients' test accuracy, last round")
    assert any(note.startswith("no clients' accuracy in x-local-s0") for note in unseen.notes)


def test_label_sets_are_compared_by_the_share_of_whole_sets(tmp_path: Path) -> None:
    for algorithm in ("fedavg", "local"):
        write_scored(tmp_path, algorithm, 0, [0.5, 0.6], metric="subset_accuracy")
    found = fedlayers.comparison(tmp_path)
    assert found.metric == "subset_accuracy" and "subset_accuracy" in next(iter(sheets(found))).title


def test_one_algorithm_and_one_seed_are_told(tmp_path: Path) -> None:
    write_scored(tmp_path, "fedavg", 4, [0.5, 0.6])
    found = fedlayers.comparison(tmp_path)
    assert found.notes == (
        "one algorithm, fedavg: there is nothing to compare it with",
        "one seed, 4: without a second one there are no intervals and no tests",
    )
    assert found.rankings == [] and "differences" not in found.tables()


def test_a_client_whose_score_is_missing_is_told(tmp_path: Path) -> None:
    for seed in range(2):
        write_scored(tmp_path, "fedavg", seed, [0.5, math.nan if seed else 0.7])
        write_scored(tmp_path, "local", seed, [0.5, 0.6])
    found = fedlayers.comparison(tmp_path)
    assert "fedavg in Heart lacks 1 of 4 clients' values: its means are of the others" in found.notes
    row = cell(found.differences, metric="accuracy", client=None)
    assert row["mean"] == pytest.approx(np.mean([-0.05, 0.0]))


def test_the_same_run_in_two_studies_counts_once(tmp_path: Path) -> None:
    first, second = study(tmp_path / "first"), tmp_path / "second"
    for seed in range(3):
        write_scored(second, "local", seed, ALONE[seed])
    found = fedlayers.comparison(first, second)
    assert len(found.runs) == 6
    assert "x-local-s0, x-local-s1, x-local-s2: left out, for another run" in found.notes[0]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"metric": "acuracy"}, "no run has --metric acuracy .*accuracy.*; there are accuracy, loss"),
        ({"baseline": "fedvg"}, "no run has --baseline fedvg .*fedavg.*; there are fedavg, local"),
        ({"round": "first"}, "round must be one of last, best, got 'first'"),
        ({"clients": "new"}, "clients must be one of trained, unseen, got 'new'"),
        ({"clients": "unseen", "moment": "after_local"}, "clients=unseen goes with moment=after_aggregate, got after_"),
        ({"clients": "unseen"}, r"scores of unseen clients \(last.*metrics=\[evaluation\] and split.unseen_clients"),
        ({"moment": "final"}, "moment must be one of after_aggregate, after_local, got 'final'"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path: Path, asked: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        fedlayers.comparison(study(tmp_path), **asked)


def test_nothing_to_compare_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"comparison needs one folder or more, such as results/main, got none"):
        fedlayers.comparison()
    folder = write_scored(tmp_path, "fedavg", 0, [0.5])
    for part in (folder / "records").glob("*.parquet"):
        pd.read_parquet(part).iloc[:0].to_parquet(part)
    with pytest.raises(UserError, match=r"none of the runs has scores of its clients .*metrics=\[evaluation\]"):
        fedlayers.comparison(tmp_path)


def test_why_there_are_no_ranks_is_told(tmp_path: Path) -> None:
    write_scored(tmp_path / "one", "fedavg", 0, [0.6])
    alone = "fedavg has nothing to be ranked with: ranks need two algorithms"
    assert no_ranks(fedlayers.comparison(tmp_path / "one").scores) == alone
    for algorithm, alpha in (("fedavg", 0.1), ("local", 0.1), ("local", 10.0)):
        write_scored(tmp_path / "two", algorithm, 0, [0.6], partition__alpha=alpha)
    lacking = "Heart, partition.alpha=10.0 lacks fedavg: ranks need two algorithms that were run in every setting"
    facts = ranks(fedlayers.comparison(tmp_path / "two")).facts
    assert facts["rankings"] == [] and facts["nothing"] == lacking
    for seed, algorithm in enumerate(("fedavg", "local")):
        write_scored(tmp_path / "seeds", algorithm, seed, [0.6])
    other = "no seed has values of the same clients under fedavg, local: ranks need what all of them have"
    assert ranks(fedlayers.comparison(tmp_path / "seeds")).facts["nothing"] == other


def test_the_smallest_p_values_are_told_as_bounds() -> None:
    assert (_p(0.0001), _p(0.04321)) == ("p < 0.001", "p = 0.043")
