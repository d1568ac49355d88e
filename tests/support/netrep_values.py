"""Reference inputs and values: netrep 0.0.2 (commit 0186b8a, MIT) on seeded arrays, numpy 2.4.6, float64.

``LINEAR_CKA`` is ``netrep.metrics.LinearCKA(center_columns=True).score``, an angle. ``DEBIASED_CKA`` and ``HSIC_1`` are
definitional formulas in float64 instead, the latter also by brute force over all 4-tuples.
"""

import numpy as np
import torch
from torch import Tensor

LINEAR_CKA = {
    ("A", "A"): 2.1073424255447017e-08,
    ("A", "B"): 1.3640020549309044,
    ("A", "C"): 0.0,
    ("A", "D"): 0.7614583454329942,
    ("A", "E"): 0.5738380803052948,
    ("A", "F"): 1.390390566344083,
    ("A", "H"): 0.13226531705745584,
    ("A", "P"): 1.5152789692162947,
    ("A", "R"): 1.4838580554728638,
    ("P", "R"): 0.6644021478321726,
    ("B", "F"): 1.3973777443243947,
    ("W", "V"): 0.5652521419220498,
    ("L1", "L2"): 0.8353495256919927,
}
DEBIASED_CKA = {
    ("A", "A"): 1.0,
    ("A", "B"): 0.01250733171242849,
    ("A", "C"): 0.9999999999999999,
    ("A", "D"): 0.6840805414355826,
    ("A", "E"): 0.8008085086694283,
    ("A", "F"): 0.012734165422201996,
    ("A", "H"): 0.9890191142542412,
    ("A", "P"): -0.037718110983740595,
    ("A", "R"): -0.029785927518976938,
    ("P", "R"): 0.7826688901779518,
    ("B", "F"): 0.003217686827132909,
    ("W", "V"): 0.5335371330482528,
    ("L1", "L2"): 0.5024545538161065,
}
# Of A[:8, :3] and B[:8, :4]: the pair, and each with itself.
HSIC_1 = (0.22644488347192337, 0.47347092781147476, 1.1965315161027967)


def arrays() -> dict[str, Tensor]:
    """Return the arrays by name, float64."""

    def normal(seed: int, *shape: int) -> np.ndarray:
        return np.random.default_rng(seed).standard_normal(shape)

    a = normal(0, 64, 16)
    q, r = np.linalg.qr(normal(2, 16, 16))
    p, w, large = normal(9, 64, 16) * np.arange(1, 17) ** -1.0, normal(11, 20, 40), normal(13, 1000, 512)
    found = {
        "A": a,
        "B": normal(1, 64, 16),
        "C": 2.5 * a @ (q * np.sign(np.diag(r))) + 3.0,
        "D": a @ normal(3, 16, 16) + normal(4, 1, 16),
        "E": a + 0.5 * normal(5, 64, 16),
        "F": normal(6, 64, 10),
        "H": a[:, np.random.default_rng(7).permutation(16)] + 0.1 * normal(8, 64, 16),
        "P": p,
        "R": np.maximum(p @ normal(10, 16, 24), 0),
        "W": w,
        "V": w + normal(12, 20, 40),
        "L1": large,
        "L2": large + normal(14, 1000, 512),
    }
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in found.items()}
