"""Where the disagreement of stand-alone and federated models comes from: classes, tiers, groups of clients, depth."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of
from fedlayers.core.seeding import derive
from fedlayers.heterogeneity.standalone import standalone_model
from fedlayers.heterogeneity.two_models import TwoModels
from fedlayers.opening.run import Run
from metrics.class_performance.tiers import percentile_tiers
from metrics.disagreement.depth import DisagreementByDepth, disagreement_by_depth, layer_readout
from metrics.disagreement.groups import GroupDisagreement, disagreement_by_group
from metrics.probe.activations import layer_outputs

_BATCH = 256


def by_class(two: TwoModels) -> list[GroupDisagreement]:
    """Return the share of a client's records on which its two models disagree, class by class.

    Args:
        two: the models.

    Raises:
        UserError: nobody labelled the records.
    """
    return disagreement_by_group(two.inconsistent.astype(float), [_classes(two)[label] for label in _labels(two)])


def by_tier(two: TwoModels) -> list[GroupDisagreement]:
    """Return the same for head, medium and tail: thirds of the classes by the client's records.

    Args:
        two: the models.

    Raises:
        UserError: nobody labelled the records.
    """
    labels = [str(label) for label in _labels(two)]
    tiers = percentile_tiers({label: labels.count(label) for label in dict.fromkeys(labels)})
    return disagreement_by_group(two.inconsistent.astype(float), [tiers[label] for label in labels])


def by_client_group(
    run: Run, groups: Mapping[int, object], round: int | None = None, inputs: str = "local"
) -> list[GroupDisagreement]:
    """Return the same over all records of each group of clients.

    Groups are such as ``dict(enumerate(run.data.planted))``, or :func:`client_clusters`.

    Args:
        run: the federated run.
        groups: client -> its group.
        round: of the federated model; None for the last one kept.
        inputs: which records, see :func:`fedlayers.heterogeneity.input_sets.records_of`.

    Raises:
        UserError: there is no such client, model or input set.
    """
    values, names = [], []
    for client, group in groups.items():
        odd = TwoModels(run, client, round, inputs).inconsistent
        values.append(torch.from_numpy(odd).double())
        names += [group] * len(odd)
    return disagreement_by_group(torch.cat(values), names)


def client_clusters(run: Run, round: int | None = None) -> dict[int, str]:
    """Return client -> its cluster as ``metrics=[clusters]`` found it, for :func:`by_client_group`.

    Args:
        run: the federated run.
        round: clusters are those of the last round up to this one in which some were found, or of the first after it;
            None for the last one.

    Raises:
        UserError: the run found no clusters of clients.
    """
    rows = run.records(metric="cluster") if "cluster" in run.quantities else run.tables.records[:0]
    rows = rows[(rows["status"] == "ok") & rows["client"].notna()]
    if rows.empty:
        raise UserError(
            f"run {run.folder.name} has found no clusters of clients: metrics=[evaluation,clusters] with "
            "metrics.clusters.rounds=[all] finds them in every round"
        )
    rounds = sorted(rows["round"].unique())
    before = [number for number in rounds if round is None or number <= round]
    rows = rows[rows["round"] == (before[-1] if before else rounds[0])]
    return {int(client): f"cluster {int(value)}" for client, value in zip(rows["client"], rows["value"], strict=True)}


def by_depth(two: TwoModels) -> DisagreementByDepth:
    """Return from which layer on what can be read out of both models parts, against a second stand-alone model.

    Args:
        two: the models; the run needs a second stand-alone model, see ``python -m fedlayers.heterogeneity --second``.

    Raises:
        UserError: there is no second model, nobody labelled the records, or they are too few.
    """
    models = [two.local, two.federated, standalone_model(two.run, two.client, second=True)]
    labels = torch.tensor(_labels(two))
    try:
        first, second, null = (_readouts(two, model, labels) for model in models)
    except ValueError as error:
        raise UserError(str(error)) from None
    return disagreement_by_depth(first, second, null)


def _readouts(two: TwoModels, model: nn.Module, labels: Tensor) -> list[Tensor]:
    layers = layers_of(model)
    found = layer_outputs(model.eval(), layers, torch.split(two.records.features, _BATCH), "pooled").outputs
    seed = derive(two.run.config.seed, "read-out halves", client=two.client)
    return [
        layer_readout(found[layer.name], labels, len(_classes(two)), seed) for layer in layers if layer.name in found
    ]


def _classes(two: TwoModels) -> list[str]:
    return [str(name) for name in two.run.facts["classes"]]


def _labels(two: TwoModels) -> list[int]:
    truth = two.records.truth
    if truth is None:
        raise UserError(f"inputs must be a client's own records, which have labels, got {two.inputs!r}")
    found: list[int] = truth.tolist()
    return found
