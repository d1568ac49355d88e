"""The typed configuration of a run: what ``conf/`` holds, with types, ranges and an identity.

Groups whose options share their fields are dataclasses here; the others hold plug-ins (``_target_`` and arguments).
"""

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any

from fedlayers.config.schema.examples import Plant, ServerTest
from fedlayers.config.schema.old_names import new_value
from fedlayers.config.schema.plan import Plan
from fedlayers.config.schema.training import Training
from fedlayers.core.checks import LARGEST, MOST, check, check_folder_name, check_path, count, one_of
from fedlayers.core.plans.kind_names import KINDS

__all__ = ["Config", "Engine", "Plan", "Probe", "Snapshots", "Split", "canonical", "identity"]


@dataclass(frozen=True)
class Split:
    """Shares of examples: the server's test set first, then each client's train, validation and test parts."""

    train: float = 0.8
    val: float = 0.1
    test: float = 0.1
    server_test: float = 0.15
    unseen_clients: int = 0

    def __post_init__(self) -> None:
        """Check that the shares are shares and that the client's three sum to 1."""
        for name in ("train", "val", "test", "server_test"):
            share = getattr(self, name)
            check(0 <= share < 1 or (name == "train" and share == 1), f"split.{name}", "in [0, 1)", share)
        check(self.train > 0, "split.train", "positive", self.train)
        total = self.train + self.val + self.test
        shares = "split.train + split.val + split.test"
        check(abs(total - 1) < 1e-6, shares, "1", round(total, 6), "change one of the three")
        count("split.unseen_clients", self.unseen_clients, least=0)


@dataclass(frozen=True)
class Engine:
    """Where clients run: in this process, on our Ray workers, or in Flower's own simulation runtime."""

    name: str = "auto"
    workers: int | None = None
    client_cpus: float = 1.0
    client_gpus: float = 0.0
    address: str | None = None

    def __post_init__(self) -> None:
        """Check every range."""
        cpus, gpus = self.client_cpus, self.client_gpus
        one_of("engine.name", self.name, ("auto", "local", "ray", "flower"))
        count("engine.workers", self.workers, otherwise=", or null for as many as fit", most=10_000)
        # Ray counts in ten-thousandths.
        share = "positive (a share of a CPU is allowed, from 0.0001)"
        check(1e-4 <= cpus <= LARGEST, "engine.client_cpus", share, cpus)
        fine = gpus == 0 or 1e-4 <= gpus <= LARGEST
        check(fine, "engine.client_gpus", "0 or more (0.25: four clients share a GPU)", gpus)
        check(gpus < 1 or gpus == int(gpus), "engine.client_gpus", "a whole number, or a share of one GPU", gpus)
        if self.address is not None:
            check_path("engine.address", self.address)


_ROUNDS = "a list of first, last, all, 'every k' and round numbers from 1"


@dataclass(frozen=True)
class Snapshots:
    """Which weights are kept as safetensors: the server's at the given rounds, by option the clients' too."""

    rounds: list[Any] = field(default_factory=lambda: ["last"])
    clients: bool = False

    def __post_init__(self) -> None:
        """Check that every entry names a round."""
        from fedlayers.core.schedule import Schedule  # imports this module

        for entry in self.rounds:
            whole = isinstance(entry, int) and not isinstance(entry, bool)
            check(whole or isinstance(entry, str), "snapshots.rounds", _ROUNDS, entry)
        Schedule(self.rounds, key="snapshots")
        some = bool(self.rounds) or not self.clients
        check(some, "snapshots.rounds", "a round or more with snapshots.clients=true", self.rounds)


@dataclass(frozen=True)
class Probe:
    """The fixed examples on which representations are compared: where they come from and how many."""

    policy: str = "server"
    size: int | None = None

    def __post_init__(self) -> None:
        """Check every range."""
        one_of("probe.policy", self.policy, ("server", "pooled", "synthetic"))
        count("probe.size", self.size, least=4, otherwise=", or null for a thousand, fewer for large networks")


# What clients minimise unless another objective is chosen, as conf/objective/cross_entropy.yaml has it.
_CROSS_ENTROPY = {
    "name": "cross_entropy",
    "_target_": "fedlayers.objectives.cross_entropy.CrossEntropy",
    "label_smoothing": 0.0,
    "class_weights": None,
}
# How a client trains unless another learner is chosen, as conf/learner/end_to_end.yaml has it.
_END_TO_END = {"name": "end_to_end", "_target_": "clients.learners.end_to_end.end_to_end"}


@dataclass(frozen=True)
class Config:
    """One run: everything that decides its numbers, and where and how it is carried out."""

    dataset: dict[str, Any]
    partition: dict[str, Any]
    model: dict[str, Any]
    algorithm: dict[str, Any]
    metrics: dict[str, Any]
    similarity: dict[str, Any] = field(default_factory=dict)
    probe: Probe = field(default_factory=Probe)
    training: Training = field(default_factory=Training)
    objective: dict[str, Any] = field(default_factory=dict)
    learner: dict[str, Any] = field(default_factory=dict)
    split: Split = field(default_factory=Split)
    server_test: ServerTest = field(default_factory=ServerTest)
    plan: Plan = field(default_factory=Plan)
    plant: Plant = field(default_factory=Plant)
    engine: Engine = field(default_factory=Engine)
    export: dict[str, Any] = field(default_factory=dict)
    tracking: dict[str, Any] = field(default_factory=dict)
    snapshots: Snapshots = field(default_factory=Snapshots)
    rounds: int = 10
    seed: int = 0
    clients: int | None = None
    examples_per_client: int | None = None
    fraction: float = 1.0
    surveyed_clients: int | None = None
    weighting: str = "examples"
    deterministic: bool = False
    client_threads: int = 1
    server_threads: int = 1
    init: str | None = None
    device: str = "auto"
    on_client_error: str = "stop"
    study: str = "main"
    results_dir: str = "results"
    data_dir: str | None = None
    progress: str = "auto"
    figures: bool = True
    force: bool = False

    def __post_init__(self) -> None:
        """Check every range that needs no data."""
        if not self.objective:
            # Runs from before there were objectives do not say; a default of the field would be merged with others.
            object.__setattr__(self, "objective", dict(_CROSS_ENTROPY))
        if not self.learner:
            object.__setattr__(self, "learner", dict(_END_TO_END))
        self._check_sizes()
        self._check_places()
        self._check_groups()
        now = new_value("weighting", self.weighting)
        advice = f"it is called {now} now" if now else ""
        one_of("weighting", self.weighting, ("examples", "uniform"), advice)
        one_of("device", self.device, ("auto", "cpu", "cuda"))
        one_of("on_client_error", self.on_client_error, ("stop", "drop"))
        one_of("progress", self.progress, ("auto", "live", "plain", "none"))

    @property
    def training_seed(self) -> int:
        """The seed of initial weights and of what training draws; data, and who takes part, are of ``seed``."""
        return self.seed if self.training.seed is None else self.training.seed

    @property
    def payload_limit_bytes(self) -> int:
        """How much one metric of one client may send to the server at one moment."""
        return int(self.metrics.get("payload_mb", 64) * 2**20)

    def _check_sizes(self) -> None:
        # Rounds are 32-bit and seeds 64-bit integers in the tables.
        check(1 <= self.rounds < 2**31, "rounds", "from 1 to 2147483647", self.rounds)
        check(0 <= self.seed < 2**63, "seed", "from 0 to 9223372036854775807", self.seed)
        count("clients", self.clients, otherwise=", or null for the partition's default")
        count("examples_per_client", self.examples_per_client, otherwise=", or null for all")
        count("surveyed_clients", self.surveyed_clients, otherwise=", or null for all")
        share = "in (0, 1]: the share of clients that train each round"
        check(0 < self.fraction <= 1, "fraction", share, self.fraction)
        # With far more the libraries end the process without a word.
        count("client_threads", self.client_threads, most=1024)
        count("server_threads", self.server_threads, most=1024)

    def _check_places(self) -> None:
        check_folder_name("study", self.study)
        for key in ("results_dir", "data_dir", "init"):
            place = getattr(self, key)
            if place is not None:
                check_path(key, place)

    def _check_groups(self) -> None:
        for group in ("dataset", "partition", "model", "algorithm", "objective", "learner"):
            name = getattr(self, group).get("name")
            proper = isinstance(name, str) and re.fullmatch(r"\w[\w.+-]*", name) is not None
            proper = proper and len(name.encode()) <= 80
            check(proper, f"{group}.name", "a short text of letters, digits and . + - _", name)
        on_error = self.metrics.get("on_error", "record")
        check(on_error in ("record", "raise"), "metrics.on_error", "one of record, raise", on_error)
        limit = self.metrics.get("payload_mb", 1)
        fine = isinstance(limit, int | float) and not isinstance(limit, bool) and 0 < limit <= MOST
        check(fine, "metrics.payload_mb", "a positive number of megabytes", limit)
        for group in ("metrics", "similarity", "export", "tracking"):
            for name, node in getattr(self, group).items():
                key = f"{group}.{name}"
                proper = node is None or isinstance(node, dict) or key in ("metrics.on_error", "metrics.payload_mb")
                check(proper, key, "its settings, or null", node, f"choose with {group}=[...]")


# What decides where and how a run is carried out, but not its numbers.
NOT_IDENTITY = frozenset(
    {
        "similarity",  # what of it is used stands in metrics.similarity.measures
        "rounds",
        "study",
        "results_dir",
        "data_dir",
        "device",
        "engine",
        "export",
        "tracking",
        "progress",
        "figures",
        "force",
        "on_client_error",
        "snapshots",
    }
)


def canonical(config: Config) -> dict[str, Any]:
    """Return what decides the numbers of a run: no default values, whole floats as integers, sorted keys.

    ``rounds`` is left out, so that more rounds continue a run; where the learning-rate schedule depends on
    the number of rounds, it is in as ``training.schedule_rounds``.
    """
    plain = {key: value for key, value in asdict(config).items() if key not in NOT_IDENTITY}
    measured = {name: plugin for name, plugin in plain["metrics"].items() if plugin is not None}
    plain["plan"] = {**plain["plan"], **_plan_as_read(config.plan)}
    plain["metrics"] = {name: plugin for name, plugin in measured.items() if name != "on_error"}
    training = config.training
    length = training.schedule_rounds if training.schedule_by == "round" else training.schedule_steps
    if training.schedule == "cosine" and length is None:
        plain["training"]["schedule_rounds"] = config.rounds
    for item in fields(Config):
        value = getattr(config, item.name)
        if item.name not in plain:
            continue
        if is_dataclass(value) and not isinstance(value, type):
            defaults = asdict(type(value)())
            plain[item.name] = {k: v for k, v in plain[item.name].items() if v != defaults[k]}
        if plain[item.name] == {} or plain[item.name] == item.default:
            del plain[item.name]
    for group, usual in (("objective", _CROSS_ENTROPY), ("learner", _END_TO_END)):
        if plain[group] == usual:
            del plain[group]
    normal: dict[str, Any] = _normal(plain)
    return normal


def _plan_as_read(plan: Plan) -> dict[str, Any]:
    """Return which layers a plan names, not in which order, and no number that is of another kind of plan."""
    # A sweep may give numbers for others of its runs.
    numbers = {key: getattr(plan if KINDS.get(plan.name) == key else Plan, key) for key in ("head_layers", "layers")}
    return {**numbers, **{key: sorted({*getattr(plan, key)}) for key in ("personal", "shared", "groups")}}


def identity(config: Config) -> str:
    """Return the ten hexadecimal digits that name a run's folder."""
    return digits_of(canonical(config))


def digits_of(content: Any) -> str:
    """Return the ten hexadecimal digits of what :func:`canonical` returns."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _normal(value: Any) -> Any:
    """Return the value as JSON would hold it: sorted keys, whole floats as integers, tuples as lists."""
    if isinstance(value, dict):
        return {str(k): _normal(value[k]) for k in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_normal(item) for item in value]
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value)
    return value
