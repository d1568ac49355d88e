"""Layer similarity.

Do layers of different clients compute the same? Two federations, one that averages and one whose clients train alone,
compared layer by layer with debiased CKA and with the Procrustes distance, each beside what chance alone would give.
Then the same measures on arrays of one's own.
"""

import numpy as np

import fedlayers
import metrics
from metrics.compare.measures.cka import CKA

tables = fedlayers.run(
    ["similarity=[cka,procrustes]"],
    study="similarity",
    algorithm=["fedavg", "local"],
    clients=3,
    rounds=2,
    model={"hidden": [32, 16]},
    metrics=["evaluation", "similarity"],
    figures=False,
)
pairs = tables.pairs
between = pairs[(pairs["subject"] == "clients") & (pairs["round"] == pairs["round"].max())]
keys = ["metric", "layer_index", "layer", "algorithm"]
print(between.groupby(keys, observed=True)[["value", "chance"]].mean().unstack("algorithm").round(3).to_string())

# Measures are functions of arrays: 200 examples, 16 units, and the same representation rotated, with noise.
generator = np.random.default_rng(0)
x = generator.normal(size=(200, 16))
rotation = np.linalg.qr(generator.normal(size=(16, 16)))[0]
y = x @ rotation + generator.normal(scale=0.5, size=x.shape)
print(f"CKA {metrics.cka(x, y):.3f}, Procrustes {metrics.procrustes(x, y):.3f} rad")
(found,) = [one for one in metrics.compare_representations(x, y, CKA()) if one.metric == "cka"]
print({name: round(getattr(found, name)[0], 3) for name in ("value", "stderr", "chance", "chance_hi")})
