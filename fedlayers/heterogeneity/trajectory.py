"""The way of the parameters over the rounds, in two dimensions: the server's models, and clients' updates on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of
from fedlayers.core.spelling import in_brackets
from fedlayers.heterogeneity.local_records import check_client
from fedlayers.opening.run import Run
from metrics.trajectory.projection import trajectory_plane, update_cosines
from metrics.trajectory.sampled import ALL, sampled_parameters

# Parameters of a layer, or of all, that stand for it.
SAMPLED = 1000


@dataclass(frozen=True)
class Trajectory:
    """Where models lie in the plane in which the server's models vary most.

    Attributes:
        points: a row per model: ``round``, ``owner`` (``server`` or a client's number), ``x``, ``y``, ``distance`` off
            the plane, and for clients ``cosine`` between their update and the server's in the same round (NaN where a
            model is missing).
        explained: the share of the server models' variance along x and along y.
        sampled: how many parameters stand for the layer.
    """

    points: pd.DataFrame
    explained: tuple[float, float]
    sampled: int


def trajectory(run: Run, layer: str = ALL, client: int | None = None, sampled: int = SAMPLED) -> Trajectory:
    """Return the parameters' way over the rounds: principal components of the server's models, others projected.

    The components are those of the server's models (round 0 and those kept) in ``sampled`` of the parameters, the
    same for all models, drawn from the run's seed. A client's update of round r begins at the server's model of round
    r - 1 and ends at the client's model of round r; its cosine is with the server's own step, all parameters counted.

    Args:
        run: the run; needs ``snapshots.rounds=[all]``, and ``snapshots.clients=true`` for clients.
        layer: its name, or ``"All"``.
        client: whose models are projected; None for all that were kept.
        sampled: how many parameters at most.

    Raises:
        UserError: there is no such layer or client, or fewer than 2 of the server's models were kept.
    """
    if client is not None:
        check_client(run, client)
    names = _parameters(run, layer)
    kept = [(int(number), str(owner)) for number, owner in run.models.itertuples(index=False)]
    wanted = [key for key in kept if key[1] == "server" or client in (None, int(key[1]))]
    models = {key: _checked(run.weights(*key), names, *key) for key in wanted}
    if run.config.init is None:
        models[0, "server"] = run.network().state_dict()
    rounds = sorted(number for number, owner in models if owner == "server")
    if len(rounds) < 2:
        raise UserError(
            f"run {run.folder.name} has kept {len(rounds)} of the server's models, and a way needs 2 or more: "
            "snapshots.rounds=[all] keeps those of all rounds"
        )
    shown = {key: sampled_parameters(model, names, sampled, run.config.seed)[layer] for key, model in models.items()}
    plane = trajectory_plane(torch.stack([shown[number, "server"] for number in rounds]))
    rows = [
        (*key, *plane.project(shown[key]).tolist(), float(plane.distance(shown[key])), _cosine(models, names, *key))
        for key in sorted(models)
    ]
    points = pd.DataFrame(rows, columns=["round", "owner", "x", "y", "distance", "cosine"])
    shares = plane.shares.tolist()
    return Trajectory(points, (shares[0], shares[1]), len(shown[rounds[0], "server"]))


def _parameters(run: Run, layer: str) -> dict[str, Sequence[str]]:
    """Return the names of a layer's parameters, or of all layers'."""
    layers = layers_of(run.network())
    known = [one.name for one in layers]
    if layer != ALL and layer not in known:
        raise UserError(f"layer must be one of {ALL}, {', '.join(known)}, got {layer!r}{in_brackets(layer, known)}")
    return {one.name: one.names for one in layers if layer in (ALL, one.name)}


def _checked(
    weights: Mapping[str, Tensor], names: Mapping[str, Sequence[str]], number: int, owner: str
) -> Mapping[str, Tensor]:
    """Return weights that hold all that is asked for."""
    if lost := [name for wanted in names.values() for name in wanted if name not in weights]:
        raise UserError(
            f"the model of owner {owner} at round {number} does not hold {lost[0]}, which stays with the clients: "
            "choose a layer that is shared"
        )
    return weights


def _cosine(
    models: Mapping[tuple[int, str], Mapping[str, Tensor]], names: Mapping[str, Sequence[str]], number: int, owner: str
) -> float:
    """Return the cosine between a client's update and the server's step in the same round."""
    before, after = models.get((number - 1, "server")), models.get((number, "server"))
    if owner == "server" or before is None or after is None:
        return float("nan")

    def row(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {ALL: torch.cat([model[name].flatten() for wanted in names.values() for name in wanted])}

    return update_cosines(row(before), row(after), row(models[number, owner]))[ALL]
