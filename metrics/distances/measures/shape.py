"""Shape distances between representations: after the best linear map, and half way to rotations."""

from functools import partial

from metrics.compare.measures.shape import ShapeMetric
from metrics.distances.representations import RepresentationMetric

BUILT_IN = (
    partial(RepresentationMetric, "shape_0_distance", ShapeMetric(0.0), quantity="shape_distance"),
    # Partial whitening is relative to variances of 1.
    partial(RepresentationMetric, "shape_05_distance", ShapeMetric(0.5), quantity="shape_distance", scale="none"),
)
