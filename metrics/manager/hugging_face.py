"""A callback for the ``Trainer`` of Hugging Face's transformers: ``pip install transformers accelerate``."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from metrics.manager.manager import MetricsManager


def hugging_face_callback(manager: MetricsManager) -> Any:
    """Return a callback that tracks ``Trainer.train``: epochs, steps, evaluations, and the end.

    Class performance needs the predictions of an evaluation, which only ``compute_metrics`` sees: give the trainer
    :func:`counting` of the same manager.

    Args:
        manager: made with the model that is trained as its model.

    Raises:
        ImportError: transformers is not installed.

    Examples:
        trainer = Trainer(model, callbacks=[hugging_face_callback(manager)], compute_metrics=counting(manager))
    """
    try:
        transformers = import_module("transformers")
    except ImportError as error:
        raise ImportError("hugging_face_callback needs transformers: pip install transformers accelerate") from error
    return _class(transformers.TrainerCallback)(manager)


def counting(
    manager: MetricsManager, compute_metrics: Callable[[Any], Mapping[str, float]] | None = None
) -> Callable[[Any], dict[str, float]]:
    """Return a ``compute_metrics`` that counts an evaluation's predictions and returns what another one computes.

    Args:
        manager: whose class performance counts.
        compute_metrics: your own; None for none.
    """

    def count(evaluated: Any) -> dict[str, float]:
        logits = evaluated.predictions
        # Models that return more than logits give them first.
        manager.class_performance.update(logits[0] if isinstance(logits, tuple) else logits, evaluated.label_ids)
        return dict(compute_metrics(evaluated)) if compute_metrics is not None else {}

    return count


def _class(base: Any) -> Any:
    class MetricsTrainerCallback(base):  # type: ignore[misc]
        """Tells a manager what the trainer does; an epoch ends when the next begins, for it is evaluated after it."""

        def __init__(self, manager: MetricsManager) -> None:
            self.manager = manager
            self._epoch, self._is_open, self._is_evaluated = 0, False, False
            self._batch = self._examples = 0

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.manager.start_tracking()
            # Of a training that goes on from a checkpoint.
            self._epoch = int(state.epoch or 0)

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._end()
            self._epoch, self._is_open, self._is_evaluated, self._examples = self._epoch + 1, True, False, 0
            self._batch = args.train_batch_size
            self.manager.start_epoch(self._epoch)

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.manager.update_batch(state.global_step)
            self.manager.start_component("step")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.manager.end_component("step")
            self._examples += args.train_batch_size * args.gradient_accumulation_steps

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._is_evaluated = True
            self.manager.start_component("validation")

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._end()
            self.manager.finalize()

        def _end(self) -> None:
            if self._is_open:
                self._is_open = False
                if self._is_evaluated:
                    self.manager.end_component("validation")
                self.manager.update_epoch_results(batch_size=self._batch, num_samples=self._examples)

    return MetricsTrainerCallback
