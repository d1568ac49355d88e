from pathlib import Path

import numpy as np
import pytest

import fedlayers
from fedlayers.commands.plot import main
from fedlayers.figures.available import figures_of
from fedlayers.figures.chain.research_questions import research_questions
from tests.support.chain_tables import Chain, write_chain
from tests.support.drawn_figures import drawn, legend_of, overlapping


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "chains"
    for seed in range(2):
        write_chain(folder, Chain("mlp", seed=seed))
        write_chain(folder, Chain("greedy_mlp", seed=seed, layers=("s1", "s2", "s3")))
    return folder


@pytest.fixture(scope="module")
def run(study: Path) -> Path:
    return study / Chain("mlp").name


def test_answers_of_a_study_are_means_over_its_runs(study: Path) -> None:
    answered = fedlayers.read(study).answers()
    figure = research_questions(answered)
    titles = [axes.get_title().split("\n") for axes in figure.axes]
    assert titles[0] == ["Are later layers more predictive?", "greedy_mlp, fedavg: cannot be said", "mlp, fedavg: yes"]
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "probe accuracy", "participation ratio\n(dimensions)", "CKA previous", "anchor accuracy", "ACE JS (nat)",
    ]  # fmt: skip
    label = "mlp, fedavg (n = 2)"
    rows = fedlayers.read(study).records.query("model_name == 'mlp' and metric == 'probe_accuracy' and round == 2")
    rows = rows[(rows["variant"] == "halves") & (rows["owner"] == "server")]
    expected = rows.groupby("layer_index")["value"].mean().to_numpy()
    np.testing.assert_allclose(drawn(figure.axes[0])[label][1], expected)
    assert legend_of(figure)[-1] == "bands: 95 % t interval over runs" and "two equal layers" in legend_of(figure)
    # Layers of two models stand by depth.
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["layer 1", "layer 2", "layer 3", "fc4"]
    assert overlapping(figure) == []


def test_answers_of_a_run_are_those_of_its_global_model_and_clients(run: Path) -> None:
    figure = research_questions(fedlayers.read(run).answers())
    assert figure.axes[0].get_title() == "Are later layers more predictive?\nCannot be said"
    assert set(legend_of(figure)) >= {"mean over clients' models", "bands: lowest to highest of clients"}
    assert len(drawn(figure.axes[0])["global model ± 1 standard error"][0]) == 4
    places = drawn(figure.axes[2])["global model ± 1 standard error"][0]
    assert np.round(places).tolist() == [1, 2, 3]  # the first layer has none before it


def test_the_answers_are_printed_beside_the_figure(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), "research_questions", "--formats", "png"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        f"{run / 'figures' / 'research_questions.png'}\n\nAre later layers more predictive?\n  global"
    )


def test_answers_are_a_main_figure_where_all_three_questions_have_one(study: Path, tmp_path: Path) -> None:
    assert [figure.main for figure in figures_of(study) if figure.family == "research_questions"] == [True]
    with fedlayers.Writer(tmp_path / "run", layers=["fc1", "fc2"]) as writer:
        writer.add(fedlayers.Record("probe_accuracy", 0.5, layer="fc1"))
    assert [figure.main for figure in figures_of(tmp_path / "run") if figure.family == "research_questions"] == [False]
