"""Where a run starts from: its own checkpoint, another run's model, or fresh weights."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load

from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import UserError
from fedlayers.core.weights import split_state
from fedlayers.execution.build import Built
from fedlayers.flower.global_model import GlobalModel
from fedlayers.runs.checkpoint import Best, restore
from fedlayers.runs.commits import DamagedError
from fedlayers.runs.folder import RunFolder
from fedlayers.runs.integrity import damaged_checkpoint

_OTHER = "restore it from a copy, or name another run"


def starting_point(
    folder: RunFolder, config: Config, built: Built, committed: int | None
) -> tuple[GlobalModel, Best | None]:
    """Return the global model and the best round to go on from.

    Raises:
        UserError: the checkpoint cannot be continued, or ``init`` names no run with a fitting model.
    """
    if committed is not None:
        data, scalars = folder.checkpoint(committed)
        try:
            weights, buffers, best = restore(data, scalars, built.strategy)
            built.packing.restore(scalars)
            return _model(weights, buffers, built), best
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            # Versions without a manifest could not see it before.
            raise damaged_checkpoint(folder.path, committed, f"is damaged ({_first_line(error)})") from error
    return fresh_model(config, built), None


def fresh_model(config: Config, built: Built) -> GlobalModel:
    """Return the shared layers of a run without a checkpoint: drawn from the seed, or those of ``init``.

    Raises:
        UserError: ``init`` names no run with a fitting model.
    """
    parameters, buffers_now = map(built.plan.travelling, split_state(built.module))
    fresh = GlobalModel(
        {name: np.array(tensor.cpu().numpy()) for name, tensor in parameters.items()},
        {name: tensor.cpu() for name, tensor in buffers_now.items()},
    )
    return _from_run(Path(config.init), fresh) if config.init else fresh


def _model(weights: Mapping[str, np.ndarray], buffers: Mapping[str, np.ndarray], built: Built) -> GlobalModel:
    """Return the model in the order of the module's parameters (safetensors sorts by name)."""
    names = built.plan.travelling(dict(built.module.named_parameters()))
    return GlobalModel(
        {name: np.array(weights[name]) for name in names},
        {name: torch.from_numpy(np.array(array)) for name, array in buffers.items()},
    )


def _from_run(path: Path, fresh: GlobalModel) -> GlobalModel:
    """Return another run's newest global model, which must have the same parameters."""
    other = RunFolder(path)
    last = other.last_round()
    if last is None:
        raise UserError(
            f"init must be the folder of a run with at least one round, got {str(path)!r}; runs lie in results/<study>/"
        )
    try:
        arrays = load(other.checkpoint(last)[0])
    except DamagedError as error:
        raise UserError(f"init must be the folder of a whole run, but {error.path} {error.what}; {_OTHER}") from error
    except SafetensorError as error:
        file = path / "state" / f"server@{last}.safetensors"
        raise UserError(f"init must be the folder of a whole run, but {file} is damaged ({error}); {_OTHER}") from error
    weights = {name: arrays.get(f"weights/{name}") for name in fresh.weights}
    for name, array in fresh.weights.items():
        found = weights[name]
        if found is None or found.shape != array.shape:
            what = "is missing" if found is None else f"has shape {found.shape}"
            raise UserError(
                f"init must be a run with the same model: {name} {what} in {path}, this run's model needs "
                f"{array.shape}; choose the same model and data set"
            )
    buffers = {name: torch.from_numpy(arrays.get(f"buffers/{name}", b.numpy())) for name, b in fresh.buffers.items()}
    return GlobalModel({name: np.array(array) for name, array in weights.items()}, buffers)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
