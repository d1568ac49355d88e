"""What a manager is given of a wrong kind: it is told, and the training goes on without."""

from pathlib import Path
from typing import Any

from torch import nn

from fedlayers.core.errors import one_line
from metrics.class_performance.tracker import ClassPerformanceTracker
from metrics.tracking.isolation import Telling, tell


def module_of(manager: Telling, given: Any) -> nn.Module | None:
    """Return the model that trains; None, with a sentence, for what is none."""
    if given is None or isinstance(given, nn.Module):
        return given
    tell(manager, f"model must be a torch.nn.Module, got {type(given).__name__}: it is not tracked; give the model")
    return None


def folder_of(manager: Telling, given: Any, otherwise: str) -> Path:
    """Return the folder for everything; another one, with a sentence, for what is no path."""
    if not isinstance(given, str | Path):
        tell(manager, f"save_dir must be a path, got {type(given).__name__}: everything goes to {otherwise}")
        given = otherwise
    return Path(given).expanduser()


def classes_of(
    manager: Telling, attributes: Any, label_to_idx: Any, idx_to_label: Any, hmt_info: Any, folder: Path, *counts: Any
) -> ClassPerformanceTracker:
    """Return the tracker of classes; one that knows no names, with a sentence, where those given are wrong."""
    try:
        return ClassPerformanceTracker(attributes, label_to_idx, idx_to_label, hmt_info, folder, *counts)
    except (ValueError, TypeError) as error:
        tell(manager, f"{one_line(error)}; until then classes are numbers")
        return ClassPerformanceTracker(save_dir=folder)
