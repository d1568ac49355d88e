"""Whether values rise or fall from layer to layer, and whether chance alone would order them so."""

import math
from dataclasses import dataclass

import numpy as np

# Above this a trend counts as not shown.
SIGNIFICANT = 0.05
_SHUFFLES = 9_999


@dataclass(frozen=True)
class Trend:
    """An ordered tendency over depth.

    Attributes:
        tau: Kendall's τ_b of layer and value, mean over runs: 1 if every layer has more than the one before in every
            run, −1 if less; NaN if there is none.
        p: two-sided p value of the test; NaN if nothing can be said.
        test: the test's name, empty if there is none.
        least_p: the smallest p that so many runs and layers can give; 1 if there is no test.
        reason: why nothing can be said, empty if something can.
    """

    tau: float
    p: float
    test: str
    least_p: float
    reason: str

    @property
    def is_shown(self) -> bool:
        """Say whether chance alone would order layers so in less than one of twenty cases."""
        return self.p < SIGNIFICANT


def trend_over_depth(values: np.ndarray) -> Trend:
    """Return the trend over depth of one quantity.

    Runs are blocks, for the layers of one run share its network and data; the null hypothesis is that within a run
    every order of its layers is as likely as any other. With two runs or more and three layers or more the test is
    Page's L, two-sided by doubling the smaller side; of one run Kendall's τ (the test of Mann and Kendall, exact up to
    seven layers also where values tie); of two layers in several runs the sign test. Ties make Page's p larger, never
    smaller. One layer, or two layers in one run, have no trend that a test could tell from chance.

    Args:
        values: finite, shape (runs, layers), layers in the order of a forward pass.

    References:
        Page 1963, Ordered Hypotheses for Multiple Treatments, J. Am. Stat. Assoc. 58; Kendall 1938, A New Measure of
        Rank Correlation, Biometrika 30; Mann 1945, Nonparametric Tests Against Trend, Econometrica 13.

    Examples:
        >>> import numpy as np
        >>> rising = trend_over_depth(np.array([[0.5, 0.6, 0.8, 0.9], [0.4, 0.7, 0.8, 0.9], [0.6, 0.7, 0.8, 0.9]]))
        >>> rising.test, rising.p < 0.001, rising.is_shown
        ("Page's L", True, True)
        >>> one = trend_over_depth(np.array([[0.5, 0.6, 0.8, 0.9]]))
        >>> one.test, round(one.p, 3), one.is_shown
        ("Kendall's τ", 0.083, False)
    """
    runs, layers = values.shape
    if layers < 2:
        return _nothing("one layer has no trend over depth" if layers else "no layer has a value in every run")
    if (values == values[:, :1]).all():
        return _nothing("all layers have the same value")
    taus = np.array([_tau(row) for row in values])
    tau = float(taus[np.isfinite(taus)].mean())
    if layers == 2:
        return _of_two(values, tau)
    orders = math.factorial(layers)
    if runs == 1:
        return Trend(tau, _kendall_p(values[0]), "Kendall's τ", 2 / orders, "")
    return Trend(tau, _page_p(values), "Page's L", 2 * float(orders) ** -runs, "")


def _nothing(reason: str) -> Trend:
    return Trend(math.nan, math.nan, "", 1.0, reason)


def _of_two(values: np.ndarray, tau: float) -> Trend:
    """Return the sign test's answer; runs in which both layers have the same value count for neither side."""
    from scipy.stats import binomtest

    signs = np.sign(values[:, 1] - values[:, 0])
    counted = int(np.abs(signs).sum())
    if counted < 2:
        return Trend(tau, math.nan, "", 1.0, "two layers of one run have no trend that a test could tell from chance")
    return Trend(tau, float(binomtest(int((signs > 0).sum()), counted).pvalue), "sign test", 2.0 ** (1 - counted), "")


def _tau(row: np.ndarray) -> float:
    from scipy.stats import kendalltau

    return math.nan if (row == row[0]).all() else float(kendalltau(np.arange(len(row)), row).statistic)


def _kendall_p(row: np.ndarray) -> float:
    from scipy.stats import kendalltau, permutation_test

    if len(np.unique(row)) == len(row):
        return float(kendalltau(np.arange(len(row)), row).pvalue)
    found = permutation_test(
        (row,), _tau, permutation_type="pairings", n_resamples=_SHUFFLES, rng=np.random.default_rng(0)
    )
    return float(found.pvalue)


def _page_p(values: np.ndarray) -> float:
    from scipy.stats import page_trend_test

    places = np.arange(1, values.shape[1] + 1)
    sides = (page_trend_test(values, predicted_ranks=ranks).pvalue for ranks in (places, places[::-1]))
    return min(1.0, 2 * float(min(sides)))
