"""Other names for the classes, given on the command line."""

from collections.abc import Sequence

from fedlayers.core.errors import UserError


def check_labels(labels: Sequence[str], classes: Sequence[str]) -> None:
    """Raise UserError unless there are as many different names as classes, or none."""
    if labels and (len(labels) != len(classes) or len({*labels}) < len(labels)):
        raise UserError(
            f"--labels must be {len(classes)} different names, one for each class, with commas between, got "
            f"{','.join(labels)}"
        )
