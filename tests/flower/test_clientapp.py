"""The ClientApp: small to send, tells who failed where, and leaves no trace in its process."""

import json
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from ray import cloudpickle

from fedlayers.config.compose import compose_config
from fedlayers.config.schema.settings import Config
from fedlayers.core.records import from_bytes
from fedlayers.core.weights import split_state
from fedlayers.execution.assembly import assembled
from fedlayers.execution.build import Built, build
from fedlayers.flower import clientapp
from fedlayers.flower.adapter import set_identity
from fedlayers.flower.contents import EXTRA
from fedlayers.flower.global_model import GlobalModel

Send = Callable[..., Message]
TINY = ["clients=4", "examples_per_client=60", "partition=iid", "model.hidden=[16]", "device=cpu"]
TINY += ["metrics=[evaluation,weights]", "training.batch_size=16", "model.dropout=0.3"]


@pytest.fixture(scope="module")
def config() -> Config:
    return compose_config(TINY)


@pytest.fixture(scope="module")
def built(config: Config) -> Built:
    return build(config)


@pytest.fixture(scope="module")
def send(config: Config, built: Built) -> Send:
    """Return a function that runs one message on one client and returns the reply."""
    set_identity()
    weights, _ = split_state(built.module)
    model = GlobalModel({name: tensor.numpy() for name, tensor in weights.items()}, {})

    def send(
        client: int = 0,
        kind: str = MessageType.TRAIN,
        *,
        server_round: int = 1,
        state: RecordDict | None = None,
        app: ClientApp | None = None,
        arrays: ArrayRecord | None = None,
    ) -> Message:
        settings = ConfigRecord({"server-round": server_round, "last-round": 2, "moment": "after_aggregate"})
        content = RecordDict({"arrays": arrays or model.record(), "config": settings})
        state = RecordDict() if state is None else state
        context = Context(1, client + 1, {"partition-id": client, "num-partitions": 4}, state, {})
        return (app or built.client_app(config))(Message(content, client + 1, kind), context)

    return send


def client_app_of(config: Config, data: str | None = None) -> ClientApp:
    return clientapp.client_app(config, assembled, data)


def weights_of(reply: Message) -> list[bytes]:
    assert not reply.has_error(), reply.error.reason
    return [array.numpy().tobytes() for array in reply.content.array_records["arrays"].values()]


@pytest.mark.parametrize(
    "extra", [[], ["algorithm=fedprox", "metrics=[evaluation,weights,gradients]", "dataset=MNIST"]]
)
def test_what_is_sent_to_workers_is_small(extra: list[str]) -> None:
    app = client_app_of(compose_config(extra))
    assert len(cloudpickle.dumps(app)) < 10_000


def test_it_still_works_after_the_trip(config: Config, built: Built, send: Send) -> None:
    travelled = cloudpickle.loads(cloudpickle.dumps(built.client_app(config)))
    assert weights_of(send(app=travelled)) == weights_of(send())


def test_a_train_reply_has_one_record_of_each_kind_that_strategies_insist_on(send: Send, built: Built) -> None:
    reply = send(2)
    assert list(reply.content.array_records["arrays"]) == [name for name, _ in built.module.named_parameters()]
    assert {array.dtype for array in reply.content.array_records["arrays"].values()} == {"float32"}
    (metrics,) = reply.content.metric_records.values()
    assert metrics["num-examples"] == len(built.federation.splits["client_train"][2])
    assert metrics["one"] == 1.0
    assert 0 < metrics["loss"] < 5  # type: ignore[operator]
    assert metrics["train_loss"] == metrics["loss"]
    extra = reply.content.config_records[EXTRA]
    assert set(extra) == {"records", "spectra", "usage"}
    table = from_bytes(extra["records"])  # type: ignore[arg-type]
    assert set(table["client"].to_pylist()) == {2}
    assert set(table["moment"].to_pylist()) == {"after_local"}


def test_an_evaluate_reply_has_no_arrays_and_the_test_examples(send: Send, built: Built) -> None:
    reply = send(1, MessageType.EVALUATE)
    assert not reply.content.array_records
    (metrics,) = reply.content.metric_records.values()
    assert metrics["num-examples"] == len(built.federation.splits["client_test"][1])
    assert set(metrics) == {"num-examples", "one", "loss", "accuracy", "eval_loss", "eval_acc"}
    assert (metrics["eval_loss"], metrics["eval_acc"]) == (metrics["loss"], metrics["accuracy"])


def test_a_message_gives_the_same_reply_whatever_came_before(send: Send) -> None:
    first = weights_of(send(0))
    others = [weights_of(send(1)), weights_of(send(0, server_round=2))]
    send(3, MessageType.EVALUATE)
    random.seed(1)
    torch.manual_seed(1)
    assert weights_of(send(0)) == first
    assert first not in others


def test_global_generators_and_threads_are_left_alone(send: Send) -> None:
    torch.set_num_threads(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    send(0)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    assert after == before
    assert torch.get_num_threads() == 1


def test_query_tells_the_partition(send: Send) -> None:
    assert send(3, MessageType.QUERY).content.metric_records["partition"]["partition-id"] == 3


@pytest.mark.parametrize("server_round", [1, 2])
def test_an_exception_names_client_round_and_moment(send: Send, server_round: int) -> None:
    failing = compose_config(
        [
            *TINY,
            "algorithm.client._target_=tests.support.odd_clients.FailingClient",
            "+algorithm.client.client=2",
            "+algorithm.client.server_round=2",
        ]
    )
    reply = send(2, server_round=server_round, app=client_app_of(failing))
    assert reply.has_error() == (server_round == 2)
    if server_round == 2:
        found = json.loads(str(reply.error.reason))
        assert [found[key] for key in ("client", "round", "moment")] == [2, 2, "after_local"]
        assert found["told"].endswith("FloatingPointError: the answer is not a number\n")


@pytest.mark.parametrize(
    "hook",
    ["initial", "training_examples", "learner", "observers", "sent", "beside", "trained_models", "evaluated_models"],
)
def test_a_hook_that_answers_nothing_is_told_by_its_name(send: Send, hook: str) -> None:
    own = ["algorithm.client._target_=tests.support.odd_clients.ForgetfulClient", f"+algorithm.client.hook={hook}"]
    kind = MessageType.EVALUATE if hook == "evaluated_models" else MessageType.TRAIN
    told = json.loads(str(send(1, kind, app=client_app_of(compose_config([*TINY, *own]))).error.reason))["told"]
    assert told == "algorithm.client: forgotten must return what the method that it overrides returns, got None"


def test_data_that_were_replaced_meanwhile_are_refused(config: Config, built: Built, send: Send) -> None:
    assert not send(0, app=client_app_of(config, built.federation.digest)).has_error()
    reply = send(0, app=client_app_of(config, "0123"))
    found = f"(digest 0123), got other content (digest {built.federation.digest}); put the old one back"
    assert found in json.loads(str(reply.error.reason))["told"]


def test_a_worker_keeps_the_last_two_configurations(send: Send) -> None:
    for seed in (1, 2, 3):
        weights_of(send(0, app=client_app_of(compose_config([*TINY, f"seed={seed}"]))))
    kept = [station.workspaces[0].config.seed for station in clientapp._stations.values()]
    assert kept == [2, 3]


def test_personal_state_is_written_in_training_only(send: Send) -> None:
    app = client_app_of(compose_config([*TINY, "algorithm=local"]))
    state = RecordDict()
    send(0, MessageType.EVALUATE, state=state, app=app)
    assert not state
    trained = weights_of(send(0, state=state, app=app))
    assert [array.numpy().tobytes() for array in state.array_records["model"].values()] == trained
    further = weights_of(send(0, server_round=2, state=state, app=app))
    assert further != trained
    assert [array.numpy().tobytes() for array in state.array_records["model"].values()] == further


def test_a_client_that_trains_in_place_does_not_change_what_others_receive(send: Send, built: Built) -> None:
    app = client_app_of(compose_config([*TINY, "algorithm.client._target_=tests.support.odd_clients.InPlaceClient"]))
    # One record for both, as an engine sends it: it is decoded once.
    weights, _ = split_state(built.module)
    arrays = GlobalModel({name: tensor.numpy() for name, tensor in weights.items()}, {}).record()
    first, second = (weights_of(send(client, app=app, arrays=arrays)) for client in (0, 1))
    assert second == weights_of(send(1, app=app))
    assert first != second
