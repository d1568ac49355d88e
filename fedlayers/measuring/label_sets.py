"""What does not go with label sets, data of which several labels of an example may hold, told before the run."""

from typing import Any

from fedlayers.config.plugins import LEARNER
from fedlayers.config.schema.settings import Config
from fedlayers.core.checks import check
from fedlayers.core.errors import UserError
from fedlayers.core.federation import Federation
from fedlayers.objectives.objective import Objective


def check_label_sets(config: Config, federation: Federation, objective: Objective) -> None:
    """Check that objective and learner take labels as vectors of 0 and 1, where they are.

    Raises:
        UserError: they take one class an example.
    """
    if not federation.has_label_sets:
        return
    data = f"dataset={federation.name}, of whose examples several labels may hold"
    if not objective.takes_label_sets:
        raise UserError(
            f"objective must be one of label sets with {data}, got {config.objective.get('name', objective.name)}; set "
            "objective=binary_cross_entropy"
        )
    name: Any = config.learner.get("name")
    check(name in ("end_to_end", None), LEARNER, f"end_to_end with {data}", name)
