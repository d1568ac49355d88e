"""What strategies declare, with defaults for Flower's own, and what a run makes of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping as Clipping
from flwr.serverapp.strategy import FedAvg, FedMedian

from fedlayers import read
from fedlayers.config.options import options
from fedlayers.core.errors import UserError
from fedlayers.flower.strategy_contract import Declared, check_declared, declared
from strategies.centralized import Centralized
from strategies.local import Local
from tests.support.odd_strategies import Undeclared

EVERY_METRIC = f"metrics=[{','.join(options()['metrics'])}]"


def test_stock_strategies_have_the_defaults_and_wrappers_what_they_wrap() -> None:
    assert type(declared(FedMedian())) is Declared
    assert (declared(FedAvg()).has_global_model, declared(FedAvg()).pooled) == (True, False)
    assert declared(Local()).has_global_model is False
    inner = Centralized()
    assert declared(Clipping(inner, 0.1, 1.0, 1)) is inner
    assert declared(inner).pooled


def test_what_nobody_would_ask_for_is_refused() -> None:
    with pytest.raises(UserError, match="Undeclared has has_global_model, which nobody asks for; derive it from fed"):
        check_declared(Undeclared())
    check_declared(Local())


def test_one_participant_on_all_examples_is_compared_with_nobody(quick_run: Callable[..., Path]) -> None:
    words = ["rounds=1", "clients=3", "similarity=[cka]", "probe.size=40", "metrics.curvature.probes=[2,4]"]
    run = quick_run("engine=local", "algorithm=centralized", EVERY_METRIC, *words)
    tables = read(run)
    assert tables.pairs.empty
    trained = tables.records.query("moment == 'after_local'")
    assert set(trained.owner) == {"server"} and trained.client.isna().all()
    compared = ["drift", "update_cosine", "b_dissimilarity", "between_client_variance", "clusters", "cluster"]
    assert not trained.metric.isin(compared).any()
    # Before and after, all clients evaluate the model: how their gradients differ is the data's.
    evaluated = tables.records.query("moment == 'after_aggregate' and metric == 'between_client_variance'")
    assert set(evaluated.status) == {"ok"}
