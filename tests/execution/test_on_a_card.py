"""The whole program on a card: a GPU where there is one, elsewhere one that torch takes for a card."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import fedlayers
from tests.conftest import QUICK
from tests.support.warm_programs import Program

Run = Callable[..., Path]
CONF = Path(__file__).parents[2] / "conf"
# flower.yaml takes the place of a strategy that the user names. Flower's own see arrays of the CPU and have FedAvg's
# client: they are tried where there is a GPU.
ALGORITHMS = sorted(
    path.stem
    for path in (CONF / "algorithm").glob("*.yaml")
    if path.stem != "flower" and (torch.cuda.is_available() or "_target_: flwr." not in path.read_text())
)
# Models whose stages train by themselves.
CHAINS = ("mlp", "greedy_mlp", "mono_forward", "forward_forward")
TINY = ["engine=local", "clients=2", "rounds=1", "examples_per_client=20", "model.hidden=[4]", "metrics=[]"]
# Of those that need a model of a kind.
MODELS = {"fedbn": ["model._target_=tests.support.odd_models.TinyBatchNorm"]}
MEASURED = [
    *(
        "engine=local",
        "rounds=1",
        "examples_per_client=60",
        "model.hidden=[4]",
        "probe.size=24",
        "similarity=[cka,rsa]",
    ),
    "metrics=[evaluation,weights,gradients,sensitivity,curvature,similarity,representation,originals,distances,clusters]",
    *("metrics.sensitivity.batch_examples=8", "metrics.distances.names=[l2_dst,cka_distance]", "plant.kind=rotation"),
    *("metrics.weights.steps=[last]", "metrics.clusters.resamples=5", "deterministic=true", "training.augment=[flip]"),
    *("metrics.curvature.steps=8", "metrics.curvature.probes=[2,3]", "metrics.curvature.density_runs=2"),
]
KEYS = ["metric", "owner", "client", "model", "scope", "layer", "round", "moment", "step", "subject", "variant"]
pytestmark = pytest.mark.slow
Found = dict[str, tuple[str, int]]


def words(*overrides: str) -> list[str]:
    chosen = {word.split("=")[0] for word in overrides}
    return [word for word in QUICK if word.split("=")[0] not in chosen] + list(overrides)


@pytest.fixture(scope="module")
def on_card(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Return folders of runs on a card, and how often they read from it: by algorithm, and some others."""
    asked = {name: words(*TINY, f"algorithm={name}", *MODELS.get(name, [])) for name in ALGORITHMS}
    asked["cohort"] = words(*TINY, "training.cohort=2")
    measured = "metrics=[evaluation,gradients,sensitivity,curvature,representation]"
    for name, size in (("measured as one", 2), ("measured one by one", 1)):
        few = ("metrics.sensitivity.batch_examples=4", "probe.size=24", f"training.cohort={size}")
        asked[name] = words(*TINY[:-1], measured, *few, *MEASURED[-3:])
    for name in CHAINS:
        chain = [word for word in words(*TINY, "learner=greedy") if name == "mlp" or "hidden" not in word]
        chain = chain if name == "mlp" else [*chain[:-1], f"model={name}", "model.width=4", "model.layers=3"]
        asked |= {name: chain, f"{name}, more steps": [*chain, "training.steps=7"]}
    asked |= {"more steps": words(*TINY, "training.steps=7"), "metrics": words(*MEASURED)}
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with Program(["-m", "tests.support.runs_on_a_card", str(tmp_path_factory.mktemp("results"))], **streams) as process:
        said, errors = process.communicate(json.dumps(list(asked.values())))
    assert process.returncode == 0, errors
    return dict(zip(asked, map(tuple, json.loads(said)), strict=True))


def folder(found: tuple[str, int]) -> Path:
    """Return the folder of a run that came to its end on a card."""
    run = Path(found[0])
    assert run.is_dir(), found[0]
    [stretch] = json.loads((run / "run.json").read_text())["stretches"]
    assert stretch["device"] in ("cuda", "card:0")
    return run


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_runs(algorithm: str, on_card: Found) -> None:
    losses = fedlayers.read(folder(on_card[algorithm])).records.query("metric == 'training_loss'")
    assert len(losses) and np.isfinite(losses["value"]).all()


def test_clients_of_a_cohort_are_gathered_there(on_card: Found) -> None:
    alone, cohort = (fedlayers.read(folder(on_card[name])).records for name in ("fedavg", "cohort"))
    losses = [of.query("metric == 'training_loss'")["value"].to_numpy() for of in (alone, cohort)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


def test_clients_of_a_cohort_are_measured_there(on_card: Found) -> None:
    found, expected = (fedlayers.read(folder(on_card[f"measured {how}"])).records for how in ("as one", "one by one"))
    pd.testing.assert_frame_equal(found[["metric", "status", "reason"]], expected[["metric", "status", "reason"]])
    np.testing.assert_allclose(found["value"], expected["value"], rtol=1e-4, atol=1e-5)
    if not torch.cuda.is_available():
        assert on_card["measured as one"][1] < on_card["measured one by one"][1]


@pytest.mark.parametrize("table", ["records", "pairs"])
def test_every_metric_measures_what_it_measures_on_a_cpu(table: str, on_card: Found, quick_run: Run) -> None:
    def of(run: Path) -> pd.DataFrame:
        found: pd.DataFrame = getattr(fedlayers.read(run), table)
        keys = [key for key in (*KEYS, "a", "b", "layer_a", "layer_b") if key in found]
        return found.astype(dict.fromkeys(keys, str)).sort_values(keys, ignore_index=True)

    found, expected = of(folder(on_card["metrics"])), of(quick_run(*MEASURED, "device=cpu"))
    pd.testing.assert_frame_equal(found[["metric", "status", "reason"]], expected[["metric", "status", "reason"]])
    np.testing.assert_allclose(found["value"], expected["value"], rtol=1e-3, atol=1e-5)
    if not torch.cuda.is_available():
        # The card that is none computes as the CPU does: what is stored and normalised there has the same bits.
        exact = found["metric"].isin(["training_loss", "loss", "norm"])
        np.testing.assert_array_equal(found["value"][exact], expected["value"][exact])


@pytest.mark.skipif(torch.cuda.is_available(), reason="only the card that is none counts what is read from it")
def test_no_step_of_local_training_waits_for_the_card(on_card: Found) -> None:
    (_, one), (_, seven) = (on_card[name] for name in ("fedavg", "more steps") if folder(on_card[name]))
    assert one == seven


@pytest.mark.parametrize("name", CHAINS)
def test_stages_train_there_by_themselves(name: str, on_card: Found) -> None:
    losses = fedlayers.read(folder(on_card[name])).records.query("metric == 'training_loss'")
    assert len(losses) and np.isfinite(losses["value"]).all()
    folder(on_card[f"{name}, more steps"])
    if not torch.cuda.is_available():
        assert on_card[name][1] == on_card[f"{name}, more steps"][1]
