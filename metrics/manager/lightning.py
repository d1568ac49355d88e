"""A callback for Lightning's ``Trainer``: ``pip install pytorch-lightning`` (or ``lightning``)."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from metrics.manager.manager import MetricsManager

# What a validation step returned, and its batch -> outputs and labels, as ``update_epoch_results`` takes them.
Predictions = Callable[[Any, Any], tuple[Any, Any] | None]


def logits_and_labels(outputs: Any, batch: Any) -> tuple[Any, Any] | None:
    """Return ``logits`` and ``labels`` of the dictionary that a validation step returned, None if it has not both."""
    if isinstance(outputs, dict) and {"logits", "labels"} <= outputs.keys():
        return outputs["logits"], outputs["labels"]
    return None


def lightning_callback(manager: MetricsManager, predictions: Predictions = logits_and_labels) -> Any:
    """Return a callback that tracks ``Trainer.fit``: epochs, steps, backward passes, validation, and the end.

    Args:
        manager: made with the module that is fitted as its model.
        predictions: gives outputs and labels of a validation step; by default a step returns
            ``{"logits": …, "labels": …}`` (of label groups dictionaries).

    Raises:
        ImportError: neither ``lightning`` nor ``pytorch_lightning`` is installed.

    Examples:
        trainer = Trainer(callbacks=[lightning_callback(MetricsManager(module))])
    """
    return _class(_base())(manager, predictions)


def _base() -> Any:
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            return import_module(name).Callback
        except ImportError:
            continue
    raise ImportError("lightning_callback needs Lightning: pip install pytorch-lightning")


def _hand_scaler(trainer: Any, manager: MetricsManager) -> None:
    """Tell by what mixed precision multiplies the loss."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    if manager.gradients is not None and scaler is not None:
        manager.gradients.scaler = scaler


def _class(base: Any) -> Any:
    class MetricsCallback(base):  # type: ignore[misc]
        """Tells a manager what Lightning does."""

        def __init__(self, manager: MetricsManager, predictions: Predictions) -> None:
            self.manager, self._predictions = manager, predictions
            self._examples = 0

        def on_fit_start(self, trainer: Any, module: Any) -> None:
            _hand_scaler(trainer, self.manager)
            self.manager.start_tracking()

        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            self.manager.start_epoch(trainer.current_epoch + 1)
            self._examples = 0

        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
            self.manager.update_batch(batch_idx)
            self.manager.start_component("step")
            self._examples += _size(batch)

        def on_before_backward(self, trainer: Any, module: Any, loss: Any) -> None:
            self.manager.start_component("backward_pass")

        def on_after_backward(self, trainer: Any, module: Any) -> None:
            self.manager.end_component("backward_pass")

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.manager.end_component("step")

        def on_validation_start(self, trainer: Any, module: Any) -> None:
            if self._counts(trainer):
                self.manager.start_component("validation")

        def on_validation_batch_end(
            self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
        ) -> None:
            found = self._predictions(outputs, batch) if self._counts(trainer) else None
            if found is not None:
                self.manager.class_performance.update(*found)

        def on_validation_end(self, trainer: Any, module: Any) -> None:
            if self._counts(trainer):
                self.manager.end_component("validation")

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            steps = max(trainer.num_training_batches, 1)
            size = self._examples // steps if self._examples else None
            self.manager.update_epoch_results(batch_size=size, num_samples=self._examples or None)

        def on_fit_end(self, trainer: Any, module: Any) -> None:
            self.manager.finalize()

        def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:
            self.manager.finalize()

        def _counts(self, trainer: Any) -> bool:
            # Before training Lightning tries two batches; trainer.validate belongs to no epoch.
            return trainer.state.fn == "fit" and not trainer.sanity_checking

    return MetricsCallback


def _size(batch: Any) -> int:
    """Return how many examples a batch has: the length of its first tensor."""
    if hasattr(batch, "shape") and len(batch.shape):
        return int(batch.shape[0])
    parts = list(batch.values()) if isinstance(batch, dict) else list(batch) if isinstance(batch, list | tuple) else []
    return next((size for part in parts if (size := _size(part))), 0)
