"""How well is each class recognised, and each tier of frequent and rare ones, while a model trains?"""

from typing import TYPE_CHECKING

from fedlayers.core.lazy_modules import on_first_use

if TYPE_CHECKING:
    from metrics.class_performance.tiers import hmt_info_of, percentile_tiers, threshold_tiers
    from metrics.class_performance.tracker import ClassPerformanceTracker

__all__ = ["ClassPerformanceTracker", "hmt_info_of", "percentile_tiers", "threshold_tiers"]
_HOMES = {
    "ClassPerformanceTracker": "tracker",
    **dict.fromkeys(("hmt_info_of", "percentile_tiers", "threshold_tiers"), "tiers"),
}
__getattr__ = on_first_use(__name__, _HOMES)
