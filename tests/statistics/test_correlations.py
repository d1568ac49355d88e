import numpy as np
import pandas as pd

from fedlayers.statistics.correlations import correlations


def test_it_is_pandas_correlation_of_what_both_have() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(30, 4))
    values[:, 1] += values[:, 0]
    values[generator.random(values.shape) < 0.2] = np.nan
    found, counts = correlations(values)
    np.testing.assert_allclose(found, pd.DataFrame(values).corr(min_periods=3))
    assert counts[0, 1] == np.isfinite(values[:, :2]).all(1).sum()


def test_unrelated_quantities_have_none() -> None:
    found, _ = correlations(np.random.default_rng(1).normal(size=(2000, 5)))
    assert np.abs(found[~np.eye(5, dtype=bool)]).max() < 4 / np.sqrt(2000)


def test_two_observations_and_constants_have_no_correlation() -> None:
    found, counts = correlations(np.array([[1.0, 2.0], [2.0, 3.0]]))
    assert np.isnan(found).all() and (counts == 2).all()
    found, _ = correlations(np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]))
    assert found[0, 0] == 1.0 and np.isnan(found[0, 1]) and np.isnan(found[1, 1])
    assert correlations(np.empty((0, 3)))[1].sum() == 0
