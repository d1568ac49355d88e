"""How clients differ, measured in a run: where their own and the common model disagree, and why."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from fedlayers.core.kinds.labels import SEVERAL_LABELS, is_label_set
from fedlayers.core.records import Row, missing
from fedlayers.core.seeding import torch_generator
from metrics.base import ClientView, Facts, Measurement, Metric, ServerView
from metrics.disagreement.per_record import record_disagreement
from metrics.heterogeneity.depth import depth_rows
from metrics.heterogeneity.disagreements import (
    COUNTS,
    LOCAL,
    SCOPE,
    class_counts,
    class_rows,
    disagreement_rows,
    group_rows,
    tier_rows,
)
from metrics.heterogeneity.record_cluster_rows import cluster_rows
from metrics.heterogeneity.shift_rows import KINDS, group_shift_rows, shift_missing, shift_rows
from metrics.heterogeneity.stand_alone import StandAloneModels, class_probabilities, stand_alone_model
from metrics.predictions.predicting import predictions_of
from metrics.probe.activations import layer_outputs
from metrics.shift.records import LabelledRecords

# As the second run: trained on demand, as the first one is.
TRAINED = "trained"
_NO_CLUSTERS = (
    "no clusters of clients are known here: metrics=[clusters,heterogeneity] finds them, with metrics.clusters.rounds "
    "that hold those of metrics.heterogeneity.rounds, at after_aggregate"
)
_WANG = "Wang et al. 2022, HetVis, arXiv 2208.07491"
_LIN = "Lin 1991, Divergence Measures Based on the Shannon Entropy"
_LOPEZ = "Lopez-Paz & Oquab 2017, Revisiting classifier two-sample tests, arXiv 1610.06545"
_MORENO = "Moreno-Torres et al. 2012, A unifying view on dataset shift in classification"
_ALAIN = "Alain & Bengio 2016, Understanding intermediate layers using linear classifier probes, arXiv 1610.01644"


def _share(name: str, reference: str, minimum_n: int = 0) -> Facts:
    return Facts(name, "1", 0.0, 1.0, "neutral", reference, cost="pass", minimum_n=minimum_n)


class Heterogeneity(Metric):
    """Where each client's stand-alone model and the common one disagree, and what kind of shift the client has.

    On each client's training examples, of the common model that it was given:

    - disagreement: share of the examples for which the client's stand-alone model predicts another class;
      disagreement_js: mean Jensen-Shannon divergence of the two; confidence_gap: mean of how much surer of its own
      class the stand-alone model is. ``chance`` is the null level, the same between the stand-alone model and
      ``second``, and ``p`` that of "no more than that" (:func:`metrics.disagreement.null_level.excess_disagreement`).
    - disagreement_by_class, disagreement_by_tier: the same share of each class (``subject``), and of head, medium and
      tail (:mod:`metrics.class_performance.tiers`) by the client's own examples (``variant`` ``own_percentile``) and by
      all clients' (``percentile``). disagreement_by_group: over all examples of each group of clients: those planted in
      the data, and the clusters that ``metrics=[clusters]`` found in the same round, or the algorithm has; missing
      where no clusters are known.
    - disagreement_by_layer: mean divergence of what linear probes read out of each layer of both models; parting_layer:
      the place of the first layer from which on it exceeds its null level
      (:func:`metrics.disagreement.depth.disagreement_by_depth`).
    - record_clusters: how many clusters the examples on which they disagree have, 0 if they agree
      (:func:`metrics.record_clustering.clusters.record_clusters`, near in what the common model's last but one layer
      puts out, in the context of all the client's examples); record_cluster_size and record_cluster_accuracy: of each,
      the number of examples and the common model's accuracy; ``subject`` is the cluster, 0 the largest.
    - label_shift, feature_shift, concept_shift: how much the client differs from all others together
      (:func:`metrics.shift.verdict.shift_verdicts`), with p values after Holm's correction over all clients and kinds;
      missing where nothing can be said, with the reason. shift_named: 1 if a kind, the ``subject``, is named for the
      client, else 0; if no client differs, anything is named in 5 % of rounds at most. shift_by_class, shift_by_tier:
      what each class or tier adds to it, ``variant`` the kind. shift_by_group, group_shift_named: the same tests of
      each group of clients against all others, ``variant`` the kind.

    What a client sends: of each class how many training examples it has and on how many the models disagree; for
    ``records`` of its training examples, drawn at random, the label and ``numbers`` random projections of what the
    common model's last but one layer puts out (that itself if it has no more units; of a network of one layer its
    outputs), float32, for the tests of shift. Its examples, and everything about its stand-alone model but the values
    above, stay with it. Projections of representations are no secret about the examples: with ``records: 0`` none are
    sent and shifts are not looked for.

    Args:
        standalone: the folder of a run of ``algorithm=local`` with the same data and ``snapshots.clients=true``; None:
            the run looks for one in its study, or trains it there first.
        second: another such run that differs by its seed only, for the null level; ``trained``: with another
            ``training.seed``, looked for or trained as the first one; None: no null level.
        records: of each client behind the tests of shift, 20 or more, or 0 for none.
        numbers: random projections of each, 1 or more.
        rounds, moments: see :class:`metrics.base.Metric`.

    References:
        Wang et al. 2022, HetVis, arXiv 2208.07491.
    """

    facts = (
        _share("disagreement", _WANG),
        Facts("disagreement_js", "nat", 0.0, math.log(2), "neutral", _LIN, cost="pass"),
        Facts("confidence_gap", "1", -1.0, 1.0, "neutral", "own definition", cost="pass"),
        *(_share(f"disagreement_by_{what}", _WANG) for what in ("class", "tier", "group")),
        Facts("disagreement_by_layer", "nat", 0.0, math.log(2), "neutral", _ALAIN, cost="pass", minimum_n=20),
        Facts("parting_layer", "layer", 0.0, math.inf, "neutral", _ALAIN, cost="pass", minimum_n=20),
        Facts("record_clusters", "clusters", 0.0, math.inf, "neutral", _WANG, cost="pass"),
        Facts("record_cluster_size", "examples", 1.0, math.inf, "neutral", _WANG, cost="pass"),
        Facts("record_cluster_accuracy", "1", 0.0, 1.0, "higher", _WANG, cost="pass"),
        _share("label_shift", _MORENO, 20),
        _share("feature_shift", _LOPEZ, 20),
        _share("concept_shift", _MORENO, 20),
        *(_share(name, _MORENO, 20) for name in ("shift_named", "shift_by_class", "shift_by_tier")),
        *(_share(name, _MORENO, 20) for name in ("shift_by_group", "group_shift_named")),
    )

    def __init__(
        self,
        standalone: str | None = None,
        second: str | None = None,
        records: int = 200,
        numbers: int = 32,
        rounds: Sequence[str | int] = ("last",),
        moments: Sequence[str] = ("after_aggregate",),
    ) -> None:
        super().__init__(rounds, moments)
        if records and records < 20:
            raise ValueError(f"records must be 20 or more, or 0 for no tests of shift, got {records}")
        if numbers < 1:
            raise ValueError(f"numbers must be 1 or more, got {numbers}")
        if "after_local" in self.schedule.moments:
            raise ValueError("moments must be some of start, after_aggregate, final, when clients have a common model")
        self.standalone, self.second = standalone, second
        self.records, self.numbers = records, numbers
        # Whoever knows where runs lie says where the clients' own models are: name of the argument -> models.
        self.models: dict[str, StandAloneModels] = {}

    def client(self, view: ClientView) -> Measurement:
        """Compare the client's own and the common model, and send what tells kinds of shift apart."""
        predictions = predictions_of(view, SCOPE)
        if predictions is None:
            return Measurement([_missing(name, f"no examples in {SCOPE}") for name in (*LOCAL, "record_clusters")])
        if predictions.unusable:
            reason = f"{predictions.unusable} examples have outputs that are NaN or infinite"
            return Measurement([_missing(name, reason) for name in (*LOCAL, "record_clusters")])
        if is_label_set(predictions.labels):
            shifts = [f"{kind}_shift" for kind in KINDS]
            return Measurement([_missing(name, SEVERAL_LABELS) for name in (*LOCAL, "record_clusters", *shifts)])
        features, labels = _representation(view), predictions.labels
        payload = self._sent(view, features, labels) if self.records else {}
        if "standalone" not in self.models:
            reason = "there is no stand-alone model: metrics.heterogeneity.standalone names a run of algorithm=local"
            return Measurement([_missing(name, reason) for name in (*LOCAL, "record_clusters")], payload)
        alone, *others = [
            stand_alone_model(view, self.models[key]) for key in ("standalone", "second") if key in self.models
        ]
        own = class_probabilities(view, alone, SCOPE)
        found = record_disagreement(own, torch.softmax(predictions.logits.double(), 1).cpu())
        second = others[0] if others else None
        null = None if second is None else record_disagreement(own, class_probabilities(view, second, SCOPE))
        right = predictions.logits.argmax(1).cpu() == labels
        rows = [
            *disagreement_rows(found, null),
            *class_rows(found, null, labels, view.classes),
            *depth_rows(view, alone, second),
            *cluster_rows(features, found, right, view),
        ]
        return Measurement(rows, payload | {COUNTS: class_counts(found, null, labels, len(view.classes))})

    def _sent(self, view: ClientView, features: Tensor, labels: Tensor) -> dict[str, np.ndarray]:
        """Return labels and projected representations of some examples; the projection is the same for all clients."""
        order = torch.randperm(len(labels), generator=torch_generator(view.seed, "records for shift"))[: self.records]
        width = features.shape[1]
        projection = torch.randn(width, self.numbers, generator=torch_generator(view.run_seed, f"projection/{width}"))
        rows = features if width <= self.numbers else features @ projection.double() / math.sqrt(width)
        return {"features": rows[order].float().numpy(), "labels": labels[order].numpy()}

    def server(self, view: ServerView) -> Measurement:
        """Return what kind of shift each client has, and what is true of tiers and groups of clients."""
        counts = {client: sent[COUNTS] for client, sent in sorted(view.payloads.items()) if COUNTS in sent}
        groups = list(_groups(view))
        rows = [*tier_rows(counts), *(row for one in groups for row in group_rows(counts, one))]
        if counts and not view.clusters:
            rows.append(missing("disagreement_by_group", _NO_CLUSTERS, subject="cluster", scope=SCOPE))
        return Measurement([*rows, *(self._shifts(view, groups) if self.records else ())])

    def _shifts(self, view: ServerView, groups: Sequence[Mapping[int, str]]) -> Iterator[Row]:
        clients, reasons = {}, {}
        for client, sent in sorted(view.payloads.items()):
            if "labels" not in sent:
                continue
            if len(sent["labels"]) < 20:
                reasons[client] = f"20 examples or more are needed, got {len(sent['labels'])}"
            elif not np.isfinite(sent["features"]).all():
                reasons[client] = "the common model's representations are not finite"
            else:
                clients[client] = LabelledRecords(sent["features"].astype(np.float64), sent["labels"])
        if len(clients) < 2:
            reasons |= dict.fromkeys(
                clients, f"two clients or more with enough examples are needed, got {len(clients)}"
            )
            clients = {}
        yield from (shift_missing(kind, reason, client) for client, reason in reasons.items() for kind in KINDS)
        if clients:
            yield from shift_rows(clients, view.classes, view.seed)
            for one in groups:
                yield from group_shift_rows(clients, one, len(view.classes), view.seed)


def _groups(view: ServerView) -> Iterator[Mapping[int, str]]:
    """Yield client -> the name of its group, for each way in which clients are in groups."""
    found = (("planted group", view.planted), ("cluster", view.clusters), ("model", view.given.get("received", {})))
    for word, groups in found:
        if groups:
            yield {client: f"{word} {group}" for client, group in groups.items()}


def _missing(name: str, reason: str) -> Row:
    return missing(name, reason, scope=SCOPE)


def _representation(view: ClientView) -> Tensor:
    """Return what the last but one layer puts out for the client's examples; of a network of one layer its outputs."""
    examples = view.data[SCOPE]
    layer = view.layers[max(len(view.layers) - 2, 0)]
    orders = torch.split(torch.arange(len(examples)), view.batch_size)
    batches = (examples.batch(order)[0].to(view.device) for order in orders)
    found = layer_outputs(view.module, [layer], batches, "pooled")
    if layer.name not in found.outputs:
        raise ValueError(f"layer {layer.name} has no output to tell examples apart: {found.reasons.get(layer.name)}")
    return found.outputs[layer.name].double().cpu()
