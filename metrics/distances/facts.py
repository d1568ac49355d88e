"""How to read the distances that come with the package."""

import math

from metrics.base import Facts

_MURPHY = "Murphy et al. 2024, arXiv 2405.01012; angle: Williams et al. 2021, arXiv 2110.14739"
_TRUST = "Bernstein, Vahdat, Yue & Liu 2020, arXiv 2002.03432"


def _facts(name: str, high: float, reference: str, *, symmetric: bool = True, cost: str = "cheap") -> Facts:
    return Facts(name, "1", 0.0, high, "lower", reference, symmetric=symmetric, cost=cost)


def _of_representations(name: str, unit: str, high: float, reference: str) -> Facts:
    return Facts(name, unit, 0.0, high, "lower", reference, symmetric=True, cost="pass", minimum_n=4)


BUILT_IN = (
    _facts("trusted_dst", math.inf, _TRUST, symmetric=False),
    _facts("log_trusted_dst", math.inf, _TRUST, symmetric=False),
    _facts("symmetric_trusted_dst", math.inf, _TRUST),
    _facts("cosine_dst", 2.0, "1 − cos of the angle, layer by layer"),
    _facts("model_cosine_dst", 2.0, "1 − cos of the angle between all weights"),
    *(
        _facts(f"{prefix}l{p}_dst", math.inf, "(Σ |x − y|^p)^(1/p)")
        for prefix in ("", "model_")
        for p in ("0.1", "0.5", "1", "2", "3", "10")
    ),
    _facts("sign_dst", 1.0, "share of weights of opposite sign, layer by layer"),
    _facts("model_sign_dst", 1.0, "share of weights of opposite sign"),
    _facts("procrustes_dst", 1.0, "Gower & Dijksterhuis 2004, Procrustes Problems; disparity", cost="heavy"),
    _facts(
        "wasserstein_dst", math.inf, "Peyré & Cuturi 2019, arXiv 1803.00567; W2 between units",
        cost="heavy",
    ),
    _facts("edc_dst", math.sqrt(2), "Duan et al. 2021, FedGroup, arXiv 2010.06870"),
    _of_representations("cka_dst", "rad", math.pi, _MURPHY),
    _of_representations("cka_biased_dst", "rad", math.pi / 2, "Williams et al. 2021, arXiv 2110.14739"),
    _of_representations("activation_procrustes_dst", "rad", math.pi / 2, "Williams et al. 2021, arXiv 2110.14739"),
    _of_representations("shape_0_dst", "rad", math.pi / 2, "Williams et al. 2021, arXiv 2110.14739; alpha = 0"),
    _of_representations("shape_05_dst", "rad", math.pi / 2, "Williams et al. 2021, arXiv 2110.14739; alpha = 0.5"),
    _of_representations("svcca_dst", "1", 1.0, "Raghu et al. 2017, arXiv 1706.05806; 1 − svcca"),
    _of_representations("pwcca_dst", "1", 1.0, "Morcos, Raghu & Bengio 2018, arXiv 1806.05759; 1 − pwcca"),
    _of_representations("rsa_dst", "rad", math.pi, "arccos of Spearman's correlation, Kriegeskorte et al. 2008"),
)  # fmt: skip
