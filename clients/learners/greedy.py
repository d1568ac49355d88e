"""Greedy layer-wise learners: every stage of a network is trained by itself, on what the one before it gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from clients.batches import Batch
from clients.learners.base import Task
from clients.learners.groups import InGroups, groups_of
from fedlayers.core.anchors import Anchors
from fedlayers.core.checks import check, not_negative, one_of
from fedlayers.core.errors import UserError
from fedlayers.core.schedule import Step
from fedlayers.core.stages import applied, head, pooled, readouts_of, representations, stages
from fedlayers.objectives.ace import VARIANTS, ace_slopes
from fedlayers.objectives.step_losses import StepLosses

HEAD = "(head)"
_DRAWN = ("orthonormal", "random")


@dataclass(frozen=True)
class AnchorChoice:
    """The anchors of a model without readouts of its own; None for what :class:`Anchors` has by default."""

    similarity: str | None = None
    temperature: float | None = None
    kind: str | None = None

    def __post_init__(self) -> None:
        """Check what is given."""
        advice = "choose model=greedy_mlp, which has a place for others"
        one_of("learner.anchors", self.kind or _DRAWN[0], _DRAWN, advice)
        Anchors(1, 1, similarity=self._similarity, temperature=self._temperature, key="learner.")

    @property
    def _similarity(self) -> str:
        return self.similarity or "cosine"

    @property
    def _temperature(self) -> float:
        return 0.1 if self.temperature is None else self.temperature

    def refuse_with(self, module: nn.Module) -> None:
        """Raise UserError if something was chosen for a model that has readouts of its own."""
        given = {"similarity": self.similarity, "temperature": self.temperature, "anchors": self.kind}
        for name, value in given.items():
            if value is not None:
                why = f"because {type(module).__name__} has readouts of its own"
                raise UserError(f"learner.{name} must be left out {why}, got {value!r}; change model.{name}")

    def drawn(self, classes: int, representations: Sequence[Tensor], seed: int) -> list[Anchors]:
        """Return the anchors of each stage, where its representations are."""
        kind, similarity = self.kind or _DRAWN[0], self._similarity
        widths = [pooled(h).shape[1] for h in representations]
        return [Anchors(classes, width, kind, similarity, self._temperature, seed) for width in widths]


class Greedy(InGroups):
    """Trains stage l by L_l = ℓ(G(h_l, ·) / τ, y) − λ_l ACE(q_l, q_(l+1)), h_(l−1) and q_(l+1) taken as given.

    Each stage has an optimizer and a clipping of its own; all losses of a step are of the weights before it. What the
    algorithm adds to the loss or does to gradients happens once, as end to end. The last stage has no ACE. The head of
    a model without readouts of its own is trained by ℓ on what the last stage gives. The loss that is told is the mean
    of ℓ over stages and head.

    Args:
        task: what is trained.
        lambda_ace: λ ≥ 0; a list: one for each stage but the last.
        ace_variant: one of :data:`fedlayers.objectives.ace.VARIANTS`.
        similarity, temperature, anchors: of a model without readouts of its own, see :class:`AnchorChoice`.

    Raises:
        UserError: the model has no stages, or an option does not fit it.
    """

    def __init__(
        self,
        task: Task,
        lambda_ace: float | list[float] = 0.1,
        ace_variant: str = "js",
        similarity: str | None = None,
        temperature: float | None = None,
        anchors: str | None = None,
    ) -> None:
        module = task.network.module
        self.seed, self.variant = task.seed, ace_variant
        self.choice = AnchorChoice(similarity, temperature, anchors)
        self.stages, self.head = stages(module), head(module) or ()
        self.lambdas = _lambdas(lambda_ace, len(self.stages), ace_variant)
        own = readouts_of(module)
        self.readouts: list[nn.Module] | None = None if own is None else list(own)
        held = {stage.name: list(stage.modules) for stage in self.stages}
        for stage, readout in zip(self.stages, own or (), strict=own is not None):
            held[stage.name].append(readout)
        if own is None and any(True for part in self.head for _ in part.parameters()):
            held[HEAD] = list(self.head)
        super().__init__(task, groups_of(task, held))
        self._names = list(held)
        # Whether one call answers for all stages, and λ where the weights are: both known from the first step on.
        self._alike: bool | None = None
        self._strengths: Tensor | None = None
        # An objective of one's own may see more of a batch than an example: it is asked for every stage.
        asked = 1 if task.objective.is_safe else len(held)
        self.losses = [StepLosses(task.objective, self.leaves[0].device) for _ in range(asked)]

    @classmethod
    def check_model(cls, module: nn.Module, features: Tensor, classes: int, **options: Any) -> list[str]:
        """Return remarks about anchors that are not what was asked for."""
        found = stages(module)
        choice = AnchorChoice(options.get("similarity"), options.get("temperature"), options.get("anchors"))
        _lambdas(options.get("lambda_ace", 0.1), len(found), options.get("ace_variant", "js"))
        if readouts_of(module) is not None:
            choice.refuse_with(module)
            return []
        if head(module) is None:
            kind = type(module).__name__
            advice = "leave learner out for the model's own"
            raise UserError(f"learner=greedy must have a model that answers from its last stage, got {kind}; {advice}")
        if not head(module):
            kind = type(module).__name__
            advice = "its answer would not be what was trained"
            raise UserError(f"learner=greedy must have a model with a layer after its last stage, got {kind}; {advice}")
        drawn = choice.drawn(classes, list(representations(found, features)), 0)
        return [f"{stage.name}: {one.remark}" for stage, one in zip(found, drawn, strict=True) if one.remark]

    def step(self, batch: Batch, step: Step) -> Tensor:
        """Take one step of every stage, and return the mean of their losses before it."""
        given = self._representations(batch.features)
        logits = self._logits(given)
        loss = self._mean_loss(logits, batch.labels, step)
        total = len(logits) * loss
        if any(self.lambdas):
            # Its gradient alone is asked for: that of a product with its slopes.
            slopes = self._ace_slopes(logits.detach()[: len(self.stages)])
            total = total - torch.dot(slopes.flatten(), logits[: len(slopes)].flatten())
        self.begin(step)
        # Of all stages at once: their graphs have nothing in common but the algorithm's own term.
        self.move(self.slopes(total), step)
        for readout, h in zip(self.readouts or (), given, strict=True):
            if isinstance(readout, Anchors):
                readout.follow(h, batch.labels)
        return loss.detach()

    def _representations(self, features: Tensor) -> list[Tensor]:
        """Return h_1, …, h_L, each with the graph of its own stage alone."""
        found: list[Tensor] = []
        for stage in self.stages:
            found.append(stage((found[-1] if found else features).detach()))
        return found

    def _logits(self, given: Sequence[Tensor]) -> Tensor:
        """Return the logits of stages and head, shape (L, n, C) or (L + 1, n, C)."""
        if self.readouts is None:
            classes = applied(self.head, given[-1].detach()).shape[1]
            self.readouts = list(self.choice.drawn(classes, given, self.seed))
        first = self.readouts[0]
        if self._alike is None:
            self._alike = isinstance(first, Anchors) and all(map(first.scores_as, self.readouts))
        logits: Tensor
        if self._alike:
            # One call for all: on narrow layers what calls cost counts.
            logits = first(torch.cat([pooled(h) for h in given])).view(len(given), len(given[0]), -1)
        else:
            logits = torch.stack([readout(h) for readout, h in zip(self.readouts, given, strict=True)])
        if HEAD in self._names:
            logits = torch.cat([logits, applied(self.head, given[-1].detach()).unsqueeze(0)])
        return logits

    def _mean_loss(self, logits: Tensor, labels: Tensor, step: Step) -> Tensor:
        """Return the mean of ℓ over stages, head and examples."""
        if len(self.losses) == 1:
            return self.losses[0](logits.flatten(0, 1), labels.repeat(len(logits)), step)
        return torch.stack([own(one, labels, step) for own, one in zip(self.losses, logits, strict=True)]).mean()

    def _ace_slopes(self, logits: Tensor) -> Tensor:
        """Return the derivative of Σ_l λ_l ACE(q_l, q_(l+1)), a mean over examples, by the stages' logits (L, n, C)."""
        # Classes first: over so few numbers that lie side by side a softmax takes seven times as long.
        log_q = logits.movedim(2, 0).contiguous().log_softmax(0)
        if self._strengths is None:
            self._strengths = torch.tensor(self.lambdas, dtype=log_q.dtype).to(log_q.device).unsqueeze(1)
        slopes = ace_slopes(self.variant, log_q[:, :-1], log_q[:, 1:])
        return (slopes * (self._strengths / logits.shape[1])).movedim(0, 2)


class MonoForwardLearner(Greedy):
    """Trains every stage and its classifier by the loss of that classifier: greedy, without ACE.

    Args:
        task: what is trained, a model with readouts of its own, such as
            :class:`fedlayers.models.greedy_mlp.MonoForward`.

    References:
        Gong et al. 2025, Mono-Forward, arXiv:2501.09238.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task, 0.0)

    @classmethod
    def check_model(cls, module: nn.Module, features: Tensor, classes: int, **options: Any) -> list[str]:
        """Refuse a model without classifiers."""
        if readouts_of(module) is None:
            kind = type(module).__name__
            raise UserError(
                f"learner=mono_forward must have a model with a classifier for each stage, got {kind}; choose "
                "model=mono_forward, or learner=greedy, which draws anchors"
            )
        return []


def _lambdas(given: float | list[float], stages_of_it: int, variant: str) -> list[float]:
    """Return λ of each stage but the last, once that and the variant are known to be right."""
    one_of("learner.ace_variant", variant, tuple(VARIANTS))
    each = stages_of_it - 1
    listed = isinstance(given, list | tuple)
    found = list(given) if isinstance(given, list | tuple) else [given]
    # Also where one stage alone has no next one, and nothing is made of the number.
    fits = all(not_negative(one) for one in found) and (not listed or len(found) == each)
    stages_told = f"{stages_of_it} stage{'s' * (stages_of_it > 1)}"
    allowed = f"0 or more, or a list of {each}, one for each of the model's {stages_told} but the last"
    check(fits, "learner.lambda_ace", allowed, given)
    return found if listed else found * each
