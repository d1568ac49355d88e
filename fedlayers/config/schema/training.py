"""The configuration of local training."""

import math
from dataclasses import dataclass, field

from fedlayers.core.checks import MOST, check, count, not_negative, one_of, positive

# What training.cohort may be beside a number.
AUTO = "auto"
_COHORTS = "auto or a whole number of clients, 1 or more, that train as one"


@dataclass(frozen=True)
class Length:
    """How long local training is on some number of examples.

    Attributes:
        per_epoch: the steps of one pass over the examples.
        steps: the steps of a round.
    """

    per_epoch: int
    steps: int


@dataclass(frozen=True)
class Training:
    """How a client trains: one optimizer for a number of epochs or steps a round."""

    optimizer: str = "sgd"
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float | None = None
    batch_size: int = 64
    epochs: float = 1.0
    steps: int | None = None
    optimizer_state: str = "fresh"
    schedule: str = "constant"
    schedule_by: str = "round"
    schedule_rounds: int | None = None
    schedule_steps: int | None = None
    schedule_factor: float = 0.1
    warmup: int = 0
    augment: list[str] = field(default_factory=list)
    buffers: str = "average"
    cohort: int | str = AUTO
    graphs: str = AUTO
    seed: int | None = None

    def __post_init__(self) -> None:
        """Check every range."""
        self._check_optimizer()
        self._check_length()
        self._check_schedule()
        for name in self.augment:
            one_of("training.augment", name, ("crop", "flip", "rotation"))
        one_of("training.buffers", self.buffers, ("average", "local"))
        one_of("training.graphs", self.graphs, (AUTO, "off"))
        # Seeds are 64-bit integers in the tables.
        fits = self.seed is None or 0 <= self.seed < 2**63
        check(fits, "training.seed", "from 0 to 9223372036854775807, or null for that of the run", self.seed)
        whole = isinstance(self.cohort, int) and not isinstance(self.cohort, bool) and 1 <= self.cohort <= MOST
        check(whole or self.cohort == AUTO, "training.cohort", _COHORTS, self.cohort)

    @property
    def cohort_size(self) -> int:
        """How many clients train as one; ``auto`` is one unless a trial has found another number."""
        return self.cohort if isinstance(self.cohort, int) else 1

    def length(self, count: int, smallest: int = 1) -> Length:
        """Return how many steps a round is: ``steps``, or the nearest number to ``epochs``, at least one.

        Args:
            count: the number of examples.
            smallest: a shorter last batch joins the one before it, unless there is none.
        """
        joined = count > self.batch_size > 1 and 0 < count % self.batch_size < smallest
        per_epoch = math.ceil(count / self.batch_size) - joined
        return Length(per_epoch, self.steps or max(1, round(self.epochs * per_epoch)))

    def _check_optimizer(self) -> None:
        decay, clip = self.weight_decay, self.clip_norm
        one_of("training.optimizer", self.optimizer, ("sgd", "adam", "adamw"))
        one_of("training.optimizer_state", self.optimizer_state, ("fresh", "carried"))
        check(positive(self.lr), "training.lr", "a positive number", self.lr)
        check(0 <= self.momentum < 1, "training.momentum", "in [0, 1)", self.momentum)
        check(not_negative(decay), "training.weight_decay", "0 or more", decay)
        check(clip is None or positive(clip), "training.clip_norm", "positive, or null for none", clip)

    def _check_length(self) -> None:
        count("training.batch_size", self.batch_size)
        check(0 < self.epochs <= MOST, "training.epochs", "positive (0.5 is half an epoch)", self.epochs)
        count("training.steps", self.steps, otherwise=", or null to train by epochs")

    def _check_schedule(self) -> None:
        kind, warmup = self.schedule, self.warmup
        one_of("training.schedule", kind, ("constant", "step", "exponential", "cosine"))
        one_of("training.schedule_by", self.schedule_by, ("round", "step"))
        count("training.warmup", warmup, least=0)
        count("training.schedule_rounds", self.schedule_rounds)
        count("training.schedule_steps", self.schedule_steps)
        by_round = self.schedule_by == "round"
        key, length = ("rounds", self.schedule_rounds) if by_round else ("steps", self.schedule_steps)
        given = kind != "step" or length is not None
        check(given, f"training.schedule_{key}", "1 or more with training.schedule=step", length)
        longer = kind != "cosine" or length is None or length > warmup
        check(longer, f"training.schedule_{key}", f"more than training.warmup={warmup}, which it includes", length)
        check(0 < self.schedule_factor <= 1, "training.schedule_factor", "in (0, 1]", self.schedule_factor)
