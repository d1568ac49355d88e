"""Tries a model out on two examples before there is a run folder: a training step, and metrics that must not fail."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedlayers.config.building import located
from fedlayers.config.plugins import LEARNER
from fedlayers.core.anchors import Anchors
from fedlayers.core.errors import UserError, one_line
from fedlayers.core.federation import Examples, Federation
from fedlayers.core.forward_order import left_alone
from fedlayers.core.kinds.tokens import is_tokens
from fedlayers.core.layers import Layer, as_written
from fedlayers.core.seeding import derive
from fedlayers.objectives.objective import Objective, ObjectiveError, failures_told, nan_error
from metrics.base import ClientView, Metric

_EXAMPLES = 2


@dataclass(frozen=True)
class Trial:
    """What is tried out: a model on a federation's data."""

    federation: Federation
    module: nn.Module
    layers: tuple[Layer, ...]
    device: torch.device
    seed: int
    # Client -> what it minimises.
    objective_of: Callable[[int | None], Objective]

    @property
    def client(self) -> int:
        """The first client that has two examples to train on, or as many as any."""
        sizes = self.federation.splits["client_train"].sizes
        return int(np.argmax(sizes >= min(_EXAMPLES, sizes.max())))

    @property
    def data(self) -> dict[str, Examples]:
        """Two examples of that client, by scope."""
        return {scope: _first(examples) for scope, examples in self.federation.of(self.client).items()}

    def training(self) -> None:
        """Take the gradient of one step in training mode.

        Raises:
            UserError: the model's outputs cannot be differentiated, computing them fails in training mode, or the
                objective gives something else than a number for each example, with a gradient of numbers.
        """
        features, labels = self._batch(self.data["client_train"])
        trained = [tensor for tensor in self.module.parameters() if tensor.requires_grad]
        name = type(self.module).__name__
        with left_alone(self.module), as_written(self.module), torch.enable_grad():
            self.module.train()
            # Batch normalisation of one example is what clients with a single example avoid.
            if len(labels) == 1:
                self.module.eval()
            try:
                outputs = self.module(features)
                loss = self._loss(outputs, labels)
                found = torch.autograd.grad(loss, trained, allow_unused=True)
            except UserError:
                raise
            except Exception as error:
                raise UserError(
                    f"model must be one that can be trained, got an error from a step of {name} on {len(labels)} "
                    f"examples: {one_line(error)}"
                ) from error
        if all(slope is None for slope in found):
            raise UserError(
                f"model must have outputs that depend on its parameters, got a loss of {name} without any gradient"
            )

    def learner(self, node: Mapping[str, Any]) -> list[str]:
        """Return what the learner that a node names says of training this model, nothing if it does not look at it.

        Args:
            node: ``config.learner``.

        Raises:
            UserError: it cannot train this model.
        """
        found_by_name = located(LEARNER, node)
        if not inspect.isclass(found_by_name):
            return []
        target: Any = found_by_name
        if "check_model" not in dir(target):
            allowed = "a subclass of clients.learners.base.Learner, or a function that makes one"
            raise UserError(f"{LEARNER}._target_ must be {allowed}, got {node['_target_']}")
        features, _ = self._batch(self.data["client_train"])
        options = {name: value for name, value in node.items() if name not in ("name", "_target_")}
        with left_alone(self.module), as_written(self.module), torch.no_grad():
            found: list[str] = target.check_model(self.module.eval(), features, len(self.federation.classes), **options)
        return found

    def _loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss, once losses and slopes are known to be numbers where outputs are.

        Raises:
            UserError: the objective gives something else, or an error.
        """
        objective = self.objective_of(self.client)
        place = f"of client {self.client} before the first round"
        leaf = outputs.detach().requires_grad_()
        with failures_told(place):
            try:
                losses = objective(leaf, labels)
                (slopes,) = torch.autograd.grad(losses.sum(), leaf)
            except ObjectiveError:
                raise
            except Exception as error:
                raise UserError(
                    f"objective must take outputs of shape {tuple(outputs.shape)} and labels of shape "
                    f"{tuple(labels.shape)}, and be differentiable, got an error from {objective.name} {place}: "
                    f"{one_line(error)}"
                ) from error
            if bool(outputs.isfinite().all()) and bool(losses.isnan().any() or slopes.isnan().any()):
                raise nan_error(objective.name) if losses.isnan().any() else nan_error(objective.name).at("as a slope")
            return objective.mean(outputs, labels)

    def metrics(self, metrics: Mapping[str, Metric], probe: Examples | None) -> None:
        """Rehearse the client half of metrics whose failure would end the run.

        Raises:
            UserError: a metric says that the configuration asks for what cannot be, or torch that the model cannot do
                what the metric asks of it.
        """
        parameters = {name: tensor.detach() for name, tensor in self.module.named_parameters()}
        view = ClientView(
            layers=self.layers,
            module=self.module,
            parameters=parameters,
            buffers=dict(self.module.named_buffers()),
            reference=parameters,
            data=self.data,
            classes=self.federation.classes,
            label_groups=self.federation.label_groups,
            seed=derive(self.seed, "try out"),
            round=1,
            moment="after_local",
            device=self.device,
            probe=None if probe is None else _first(probe),
            run_seed=self.seed,
            objective=self.objective_of(self.client),
        )
        for name, metric in metrics.items():
            with left_alone(self.module), as_written(self.module):
                self.module.eval()
                try:
                    metric.rehearse(view)
                except UserError:
                    raise
                except RuntimeError as error:
                    raise UserError(
                        f"metrics.{name} cannot be measured on this model: {one_line(error)}; leave it out, or set "
                        "metrics.on_error=record"
                    ) from error
                except Exception:  # two examples may be too few for it
                    continue

    def remarks(self) -> list[str]:
        """Return what is strange about the outputs of the model on two examples."""
        features, _ = self._batch(self.data["client_train"])
        buffers = {name: tensor.detach().clone() for name, tensor in self.module.named_buffers()}
        with left_alone(self.module), as_written(self.module), torch.no_grad():
            self.module.eval()
            first = self.module(features)
            changed = any(not torch.equal(buffers[name], own) for name, own in self.module.named_buffers())
            second, alone = self.module(features), self._alone(features)
            takes_logits = self.objective_of(None).takes_logits
            values = _values(first, self._wide(features), takes_logits)
            found = [values, None if changed else _repeats(first, second, alone)]
        if changed:
            found.append("the model changes its buffers in evaluation mode; every metric sees those from before")
        short = {part.remark for part in self.module.modules() if isinstance(part, Anchors)}
        return [text for text in (*found, *sorted(short)) if text]

    def _alone(self, features: Tensor) -> Tensor | None:
        """Return the outputs for every example alone; None if the model takes no single example."""
        try:
            return torch.cat([self.module(features[i : i + 1]) for i in range(len(features))])
        except Exception:
            return None

    def _wide(self, features: Tensor) -> Tensor | None:
        """Return the outputs for examples far out, where logits are large; None if the model takes none."""
        if is_tokens(features):
            return None
        try:
            wide: Tensor = self.module(1000 * features)
        except Exception:
            return None
        return wide

    def _batch(self, examples: Examples) -> tuple[Tensor, Tensor]:
        features, labels = examples.batch(torch.arange(len(examples)))
        return features.to(self.device), labels.to(self.device)


def _first(examples: Examples) -> Examples:
    return examples.take(torch.arange(min(_EXAMPLES, len(examples))))


def _values(outputs: Tensor, wide: Tensor | None, takes_logits: bool) -> str | None:
    """Return a sentence about outputs that are no numbers, or no logits where the objective takes those."""
    if not bool(outputs.isfinite().all()):
        return "the model's outputs on the first examples are NaN or infinite before any training"
    if not takes_logits:
        return None
    if bool((outputs >= 0).all()) and bool(((outputs.sum(1) - 1).abs() < 1e-3).all()):
        return (
            "the model's outputs are positive and sum to 1: the objective takes logits and applies softmax itself; "
            "leave the model's softmax out"
        )
    both = [outputs] if wide is None else [outputs, wide]
    if wide is not None and all(bool(((part >= 0) & (part <= 1)).all()) for part in both):
        return (
            "the model's outputs lie between 0 and 1 whatever the examples: the objective takes logits; leave the "
            "model's last activation function out"
        )
    return None


def _repeats(first: Tensor, second: Tensor, alone: Tensor | None) -> str | None:
    """Return a sentence about outputs that depend on more than weights and example."""
    if not torch.equal(first.nan_to_num(), second.nan_to_num()):
        return (
            "the model's outputs for the same examples differ in evaluation mode: what is measured is random (dropout "
            "as a function needs training=self.training)"
        )
    most = float(first.nan_to_num().abs().max())
    if alone is None or not torch.allclose(first, alone, rtol=0, atol=1e-2 * most, equal_nan=True):
        return (
            "the model's outputs for an example depend on the other examples of its batch in evaluation mode: "
            "accuracies and representations depend on the batches, and per-example gradients are missing"
        )
    return None
