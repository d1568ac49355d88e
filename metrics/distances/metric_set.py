"""A set of metrics by name, which makes variants of them when asked for."""

import copy
from collections.abc import Iterable, Iterator

from fedlayers.core.quantities import in_new_names
from metrics.distances.families import ClientMatrixMetric, LayerMatrixMetric, LayerMetric
from metrics.distances.families.aggregation import AGGREGATIONS
from metrics.distances.names import DIAGONAL, NO_BIAS, Argument, check_base_name, known_names, parse_name
from metrics.distances.representations import RepresentationMetric
from metrics.distances.steps.elementary import NoBiasStep, WeightBiasFusion2DStep
from metrics.distances.steps.preprocessing import PreprocessingStep


class MetricSet:
    """Metrics by their unique names, in the order in which they were added or made.

    Names follow the grammar of :mod:`metrics.distances.names`::

        metrics = MetricSet(built_in_metrics())
        metrics.get_metric("nb-sum-l2_dst").client_distance_matrix(clients)

    Args:
        metrics: any number of metrics.
        default: the name of the metric for those who do not choose; it may be that of a variant.

    Raises:
        ValueError: if a name is empty, holds ``-`` or ``&``, or is that of two metrics.
    """

    def __init__(self, metrics: Iterable[ClientMatrixMetric] = (), *, default: str = "trusted_dst") -> None:
        self._metrics: dict[str, ClientMatrixMetric] = {}
        self._default = default
        for metric in metrics:
            self.add(metric)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all metrics, variants that were made among them."""
        return tuple(self._metrics)

    @property
    def default(self) -> ClientMatrixMetric:
        """The metric for those who do not choose; asking for it raises ValueError if there is none of its name."""
        return self.get_metric(self._default)

    def __len__(self) -> int:
        return len(self._metrics)

    def __iter__(self) -> Iterator[ClientMatrixMetric]:
        # A copy: whoever goes through the set may ask for variants meanwhile.
        return iter(tuple(self._metrics.values()))

    def __contains__(self, name: object) -> bool:
        return name in self._metrics

    def add(self, metric: ClientMatrixMetric) -> None:
        """Add a metric under its name.

        Raises:
            ValueError: if the name is empty, holds ``-`` or ``&``, or is taken.
        """
        check_base_name(metric.name)
        if metric.name in self._metrics:
            raise ValueError(f"there is a metric of the name {metric.name!r} already")
        self._metrics[metric.name] = metric

    def get_metric(self, name: str) -> ClientMatrixMetric:
        """Return the metric of a name, or of the one that it had before; the same object every time.

        A variant is made as a copy and kept under its full name, and so are the variants on the way to it; what it is
        made from does not change.

        Raises:
            ValueError: if the name does not follow the grammar, there is no metric of its base name, or an argument
                does not apply to the metric. Nothing is added then.
        """
        parsed = parse_name(name if parse_name(name).base in self._metrics else in_new_names(name))
        made: dict[str, ClientMatrixMetric] = {}
        full, metric = parsed.base, self._metrics.get(parsed.base)
        for argument in reversed(parsed.arguments):
            full = f"{argument}-{full}"
            if full in self._metrics:
                metric = self._metrics[full]
            elif metric is not None:
                metric = made[full] = _variant(metric, argument, full)
        if metric is None:
            whole = f" of {name!r}" if parsed.arguments else ""
            raise ValueError(f"there is no metric {parsed.base!r}{whole}; {known_names(parsed.base, self._metrics)}")
        self._metrics |= made
        return metric

    def get_metrics(self, names: Iterable[str]) -> "MetricSet":
        """Return a set of the metrics of some names, in their order and with the same default.

        Raises:
            ValueError: see :meth:`get_metric`; also if a name comes twice.
        """
        chosen = MetricSet(default=self._default)
        for name in names:
            metric = self.get_metric(name)
            if metric.name in chosen:
                raise ValueError(f"metric {metric.name!r} is named twice; leave one")
            chosen._metrics[metric.name] = metric
        return chosen


def _variant(metric: ClientMatrixMetric, argument: Argument, name: str) -> ClientMatrixMetric:
    variant = copy.deepcopy(metric)
    variant.name = name
    if argument.head in AGGREGATIONS:
        _aggregate(variant, argument)
    elif isinstance(variant, RepresentationMetric):
        raise ValueError(
            f"metric name {name!r} has {argument.head!r}, but representations have no biases; leave it out"
        )
    elif argument.head == NO_BIAS:
        _begin_with(variant, NoBiasStep())
    else:
        if NoBiasStep() in variant.preprocessing_steps:
            raise ValueError(
                f"metric name {name!r} fuses biases before 'nb' can drop them; write 'nb' before 'fb', as in nb-fb-…"
            )
        _begin_with(variant, WeightBiasFusion2DStep())
    return variant


def _begin_with(metric: ClientMatrixMetric, step: PreprocessingStep) -> None:
    """Put a step before all others, unless it is there already: neither of the two does anything the second time."""
    if metric.preprocessing_steps[:1] != [step]:
        metric.preprocessing_steps.insert(0, step)


def _aggregate(metric: ClientMatrixMetric, argument: Argument) -> None:
    if not isinstance(metric, LayerMatrixMetric):
        raise ValueError(f"metric name {metric.name!r} has {argument.head!r}, but there are no layers to aggregate")
    metric.aggregate_by(argument.head)
    if not argument.flags:
        return
    (flag,) = argument.flags
    if not isinstance(metric, LayerMetric):
        raise ValueError(f"metric name {metric.name!r} has {flag!r}, but its layers are not compared pair by pair")
    metric.compare_pairwise(flag == DIAGONAL)
