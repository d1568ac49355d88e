"""Metrics: pure functions on arrays and tensors, and the thin classes that say what they need.

``metrics.cka(x, y)`` and its like take NumPy arrays and tensors; ``metrics.distances`` compares weights.
"""

from typing import TYPE_CHECKING

from fedlayers.core.lazy_modules import on_first_use

if TYPE_CHECKING:
    from metrics.attributions.attention import attention_maps, attention_rollout
    from metrics.attributions.difference import map_difference
    from metrics.attributions.grad_cam import enlarged, grad_cam
    from metrics.attributions.inputs import input_gradients, integrated_gradients
    from metrics.base import Facts, Measurement, Metric, at, measured
    from metrics.classification import confusion_matrix, scores_from_confusion
    from metrics.contrastive.cluster import cluster_contrast
    from metrics.contrastive.components import contrastive_pca
    from metrics.disagreement.depth import disagreement_by_depth, layer_readout
    from metrics.disagreement.groups import disagreement_by_group
    from metrics.disagreement.null_level import excess_disagreement
    from metrics.disagreement.per_record import disagreement_over_rounds, record_disagreement
    from metrics.example_gradients.per_example import ExamplePass
    from metrics.functional import (
        cka,
        cka_distance,
        compare_representations,
        effective_rank,
        participation_ratio,
        procrustes,
        pwcca,
        rsa,
        shape_distance,
        svcca,
    )
    from metrics.input_sets.samples import stratified_sample, systematic_sample
    from metrics.manager.manager import MetricsManager
    from metrics.record_clustering.clusters import record_clusters
    from metrics.record_clustering.mutual_rank import mutual_rank
    from metrics.shift.records import LabelledRecords
    from metrics.shift.verdict import shift_verdicts
    from metrics.statistics.class_scores import class_report
    from metrics.trajectory.projection import trajectory_plane, update_cosines
    from metrics.trajectory.sampled import sampled_parameters

__all__ = [  # noqa: RUF022 (grouped by question)
    # How alike are two representations?
    "cka",
    "cka_distance",
    "compare_representations",
    "procrustes",
    "pwcca",
    "rsa",
    "shape_distance",
    "svcca",
    # What is in one?
    "effective_rank",
    "participation_ratio",
    # Where do two predictors disagree?
    "disagreement_by_depth",
    "disagreement_by_group",
    "disagreement_over_rounds",
    "excess_disagreement",
    "layer_readout",
    "record_disagreement",
    # What sets records apart?
    "cluster_contrast",
    "contrastive_pca",
    "mutual_rank",
    "record_clusters",
    # What kind of heterogeneity does a client have?
    "LabelledRecords",
    "shift_verdicts",
    # Where does a model look?
    "attention_maps",
    "attention_rollout",
    "enlarged",
    "grad_cam",
    "input_gradients",
    "integrated_gradients",
    "map_difference",
    # Where are there no records?
    "stratified_sample",
    "systematic_sample",
    # How do parameters move?
    "sampled_parameters",
    "trajectory_plane",
    "update_cosines",
    # How good is a classifier?
    "class_report",
    "confusion_matrix",
    "scores_from_confusion",
    # What is the gradient of every example?
    "ExamplePass",
    # What happens while a loop of one's own trains?
    "MetricsManager",
    # A metric of one's own
    "Facts",
    "Measurement",
    "Metric",
    "at",
    "measured",
]
_HOMES = {
    **dict.fromkeys(("Facts", "Measurement", "Metric", "at", "measured"), "base"),
    "class_report": "statistics.class_scores",
    **dict.fromkeys(("confusion_matrix", "scores_from_confusion"), "classification"),
    "cluster_contrast": "contrastive.cluster",
    "contrastive_pca": "contrastive.components",
    **dict.fromkeys(("attention_maps", "attention_rollout"), "attributions.attention"),
    **dict.fromkeys(("enlarged", "grad_cam"), "attributions.grad_cam"),
    **dict.fromkeys(("input_gradients", "integrated_gradients"), "attributions.inputs"),
    "map_difference": "attributions.difference",
    **dict.fromkeys(("stratified_sample", "systematic_sample"), "input_sets.samples"),
    "LabelledRecords": "shift.records",
    "shift_verdicts": "shift.verdict",
    "sampled_parameters": "trajectory.sampled",
    **dict.fromkeys(("trajectory_plane", "update_cosines"), "trajectory.projection"),
    "mutual_rank": "record_clustering.mutual_rank",
    "record_clusters": "record_clustering.clusters",
    **dict.fromkeys(("disagreement_by_depth", "layer_readout"), "disagreement.depth"),
    "disagreement_by_group": "disagreement.groups",
    "excess_disagreement": "disagreement.null_level",
    **dict.fromkeys(("disagreement_over_rounds", "record_disagreement"), "disagreement.per_record"),
    "ExamplePass": "example_gradients.per_example",
    "MetricsManager": "manager.manager",
}
__getattr__ = on_first_use(__name__, dict.fromkeys(__all__, "functional") | _HOMES)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
