"""``MetricsManager``: class performance, gradients, attention and resources of any training loop, in one object."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from torch import nn
from torch.utils.hooks import RemovableHandle

from fedlayers.core.layers import layers_of
from fedlayers.core.records import Row
from fedlayers.core.tables.row_folder import RowFolder
from metrics.manager.arguments import classes_of, folder_of, module_of
from metrics.resource_usage.flops import is_counted
from metrics.resource_usage.monitor import ResourceMonitor
from metrics.tracking.arguments import epoch_number, module_given
from metrics.tracking.blocks import Timed
from metrics.tracking.claims import claim
from metrics.tracking.isolation import TrackingMistake, isolated, tell
from metrics.tracking.tracker import Tracker, as_json, managed, unwritable, write_json
from metrics.training_dynamics.attention.hooks import Hook
from metrics.training_dynamics.attention.visualizer import AttentionVisualizer
from metrics.training_dynamics.gradients.tracker import GradientTracker, Scaler

FILE, FOLDER = "all_metrics.json", "visualizations"


class MetricsManager(Timed):
    """Tracks a training: nothing that goes wrong in it stops the training, it becomes a ``TrackingWarning``.

    Every epoch's rows are on the disk when it ends: ``fedlayers.read(save_dir)``, ``fedlayers.plot`` and the report
    open the folder like a run's. Figures go to ``class_metrics``, ``training_dynamics`` and ``resource_usage`` in it.

    Args:
        model: the model that trains; None tracks class performance and resources alone.
        attributes, label_to_idx_dict, idx_to_label_dict, hmt_info, train_counts, own_counts: see
            :class:`metrics.class_performance.tracker.ClassPerformanceTracker`.
        save_dir: the folder for everything; one beside it if it holds an earlier training.
        track_weights: whether histograms of the weights are taken.
        track_gradients: whether gradients are measured at every step.
        track_attention: whether attention is looked at.
        scaler: see :class:`metrics.training_dynamics.gradients.tracker.GradientTracker`.
    """

    def __init__(
        self,
        model: nn.Module | None = None,
        attributes: Iterable[str] | None = None,
        label_to_idx_dict: Mapping[str, Any] | None = None,
        idx_to_label_dict: Mapping[Any, Any] | None = None,
        hmt_info: Mapping[str, Any] | None = None,
        save_dir: str | Path = FOLDER,
        train_counts: Mapping[str, Mapping[str, float]] | None = None,
        own_counts: Mapping[str, Mapping[str, float]] | None = None,
        track_weights: bool = True,
        track_gradients: bool = True,
        track_attention: bool = True,
        scaler: Scaler | None = None,
    ) -> None:
        self.problems: list[str] = []
        model, wanted = module_of(self, model), folder_of(self, save_dir, FOLDER)
        self._claim = claim(self, wanted, FILE, alone=True)
        self.save_dir = wanted if self._claim is None else self._claim.path
        if problem := unwritable(self.save_dir):
            tell(self, problem)
        self._model = model
        device = next((tensor.device for tensor in model.parameters()), None) if model is not None else None
        dynamics = self.save_dir / "training_dynamics"
        with managed():
            self.class_performance = classes_of(
                self, attributes, label_to_idx_dict, idx_to_label_dict, hmt_info, self.save_dir / "class_metrics",
                train_counts, own_counts,
            )  # fmt: skip
            self.gradients = None
            if model is not None and track_gradients:
                self.gradients = GradientTracker(model, dynamics, track_weights, scaler=scaler)
            self.attention = AttentionVisualizer(model, dynamics) if model is not None and track_attention else None
            self.resources = ResourceMonitor(self.save_dir / "resource_usage", device)
        if self.attention is not None and not self.attention.can_see:
            self.attention = None
        self._folder: RowFolder | None = None
        self._is_tracking = self._is_final = False
        # The hook that counts operations, until a forward pass or the end.
        self._counting: RemovableHandle | None = None
        self._epoch: int | None = None
        self._epochs: list[int] = []

    @property
    def trackers(self) -> list[Tracker]:
        """Those that take part."""
        every = (self.class_performance, self.gradients, self.attention, self.resources)
        return [tracker for tracker in every if tracker is not None]

    @isolated
    def start_tracking(self) -> None:
        """Begin: hooks are registered. ``start_epoch`` does it, too, if nobody has."""
        if self._is_tracking:
            tell(self, "start_tracking was called twice: call stop_tracking or finalize in between")
            return
        self._is_tracking, self._is_final = True, False
        for tracker in (self.gradients, self.attention):
            if tracker is not None:
                tracker.register_hooks()
        if self._model is not None and not self.resources.flops:
            self._count_once(self._model)

    def _count_once(self, model: nn.Module) -> None:
        """Count operations with the inputs of the first forward pass."""

        def count(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not is_counted(module):
                counting.remove()
                self.resources.count_flops(module, *args, **kwargs)

        self._counting = counting = model.register_forward_pre_hook(Hook(count), with_kwargs=True)

    @isolated
    def start_epoch(self, epoch: int) -> None:
        """Begin an epoch.

        Args:
            epoch: its number, 0 or more; every epoch has one of its own.
        """
        epoch = epoch_number(epoch)
        if not self._is_tracking:
            self.start_tracking()
        if self._epoch is not None:
            tell(
                self,
                f"epoch {self._epoch} was not ended before epoch {epoch}: call update_epoch_results (it ends here)",
            )
            self._end_epoch()
        if epoch in self._epochs:
            tell(
                self, f"epoch {epoch} was tracked already: give every epoch a number of its own (the later one counts)"
            )
        self._epoch = epoch
        for tracker in (self.class_performance, self.gradients, self.attention, self.resources):
            if tracker is not None:
                tracker.start_epoch(epoch)

    @isolated
    def update_batch(self, batch_idx: int) -> None:
        """Say that a batch begins."""
        self.resources.update_batch(batch_idx)

    @isolated
    def start_component(self, name: str) -> None:
        """Begin a part of a step, such as ``forward_pass``; parts may lie inside one another."""
        self.resources.start_component(name)

    @isolated
    def end_component(self, name: str) -> None:
        """End a part of a step."""
        self.resources.end_component(name)

    @isolated
    def update_epoch_results(
        self,
        logits_dict: Any = None,
        labels_dict: Any = None,
        batch_size: int | None = None,
        num_samples: int | None = None,
    ) -> None:
        """End the epoch, with what the model answers in a validation.

        Args:
            logits_dict: group -> outputs (n, C), or one tensor; None if ``class_performance.update`` has had them.
            labels_dict: group -> labels.
            batch_size: examples a step.
            num_samples: examples of the epoch's training, for the throughput.
        """
        if self._epoch is None:
            raise TrackingMistake(
                "update_epoch_results ends an epoch, and none has begun: call start_epoch(epoch) before"
            )
        if (logits_dict is None) != (labels_dict is None):
            tell(self, "update_epoch_results needs both logits_dict and labels_dict for class performance: give both")
        elif logits_dict is not None:
            self.class_performance.update(logits_dict, labels_dict)
        self._end_epoch(batch_size, num_samples)

    def _end_epoch(self, batch_size: int | None = None, num_samples: int | None = None) -> None:
        epoch, self._epoch = self._epoch, None
        if epoch is None:
            return
        self._epochs = [*self._epochs, epoch] if epoch not in self._epochs else self._epochs
        self.resources.end_epoch(batch_size, num_samples)
        self.class_performance.end_epoch(epoch)
        if self.gradients is not None:
            self.gradients.update(epoch)
        if self.attention is not None:
            self.attention.update(epoch)
        self._write(epoch)

    @isolated
    def _write(self, epoch: int) -> None:
        """Put an epoch's rows on the disk."""
        rows: list[Row] = [row for tracker in self.trackers for row in tracker.rows(epoch)]
        if unwritable(self.save_dir):
            return
        if self._folder is None:
            facts = [fact for tracker in self.trackers for fact in tracker.facts]
            model = None if self._model is None else module_given(self._model)
            layers = layers_of(model) if model is not None else ()
            name = type(model).__name__ if model is not None else "unknown"
            self._folder = RowFolder(self.save_dir, facts, layers, model=name, algorithm="own loop", dataset="own data")
        self._folder.write(epoch, rows)

    @isolated
    def stop_tracking(self) -> None:
        """End: hooks are removed, an epoch that is under way ends."""
        if self._epoch is not None:
            tell(
                self,
                f"epoch {self._epoch} was not ended before stop_tracking: call update_epoch_results (it ends here)",
            )
            self._end_epoch()
        for tracker in (self.gradients, self.attention):
            if tracker is not None:
                tracker.remove_hooks()
        if self._counting is not None:
            self._counting.remove()
        self._is_tracking = False

    @isolated
    def generate_visualizations(self) -> list[Path]:
        """Draw all figures there can be so far, and return their files."""
        if unwritable(self.save_dir):
            return []
        return [path for tracker in self.trackers for path in tracker.save_figures()]

    def get_metrics(self) -> dict[str, Any]:
        """Return everything that was tracked, as ``all_metrics.json`` has it."""
        keys = {
            "class_performance": self.class_performance,
            "training_dynamics": self.gradients,
            "attention": self.attention,
            "resource_usage": self.resources,
        }
        found = {key: self._of(tracker) for key, tracker in keys.items() if tracker is not None}
        issues = (found.get("training_dynamics") or {}).get("gradient_issues", {})
        whole = {**found, "gradient_issues": issues, "epochs": self._epochs, "problems": self.all_problems}
        return as_json(whole)

    @isolated
    def _of(self, tracker: Tracker) -> dict[str, Any]:
        return tracker.get_metrics()

    @property
    def all_problems(self) -> list[str]:
        """Every sentence that was told."""
        return [*self.problems, *(problem for tracker in self.trackers for problem in tracker.problems)]

    @isolated
    def finalize(self) -> None:
        """Stop tracking, draw all figures, write JSON files and make the folder complete."""
        if self._is_final:
            return
        self.stop_tracking()
        self._is_final = True
        if problem := unwritable(self.save_dir):
            raise TrackingMistake(problem)
        self.generate_visualizations()
        for tracker in self.trackers:
            self._save(tracker)
        write_json(self.save_dir / FILE, self.get_metrics())
        if self._folder is not None:
            self._folder.finish()

    @isolated
    def _save(self, tracker: Tracker) -> None:
        tracker.save()

    @contextmanager
    def epoch(self, epoch: int, batch_size: int | None = None, num_samples: int | None = None) -> Iterator[Self]:
        """Track an epoch in a block of code; predictions go to ``class_performance.update`` in it."""
        self.start_epoch(epoch)
        try:
            yield self
        finally:
            if self._epoch == epoch:
                self.update_epoch_results(batch_size=batch_size, num_samples=num_samples)

    def __enter__(self) -> Self:
        """Begin to track."""
        self.start_tracking()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, draw and write, also after an exception, which goes on."""
        self.finalize()
