"""What kind of heterogeneity each client of a run has, in words."""

import torch
from torch import Tensor, nn

from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of
from fedlayers.heterogeneity.local_records import local_records
from fedlayers.opening.run import Run
from metrics.shift.records import LabelledRecords
from metrics.shift.verdict import ShiftVerdict, shift_verdicts

_BATCH = 256


def verdicts(run: Run, round: int | str = "best", inputs: str = "client_train") -> dict[int, ShiftVerdict]:
    """Return for each client whether its classes, its records or the meaning of its labels differ from the others'.

    Records are compared by what the global model of a round puts out before its last layer.

    Args:
        run: the run, which has kept a global model.
        round: of the model.
        inputs: which of the clients' examples.

    Raises:
        UserError: there is no such model, a client has no such examples, or there are fewer than two clients.
    """
    module = run.model(round).eval()
    found = {}
    for client in range(run.facts["clients"]):
        records = local_records(run, client, inputs)
        found[client] = LabelledRecords.of(_representations(module, records.features), records.truth.numpy())
    try:
        return shift_verdicts(found, len(run.facts["classes"]), seed=run.config.seed)
    except ValueError as error:
        raise UserError(str(error)) from None


def _representations(module: nn.Module, features: Tensor) -> Tensor:
    """Return what goes into a model's last layer, shape (n, d)."""
    last = module.get_submodule(layers_of(module)[-1].name)
    heard: list[Tensor] = []
    handle = last.register_forward_pre_hook(lambda _, given: heard.append(given[0].flatten(1)))
    try:
        with torch.inference_mode():
            for batch in torch.split(features, _BATCH):
                module(batch)
    finally:
        handle.remove()
    return torch.cat(heard)
