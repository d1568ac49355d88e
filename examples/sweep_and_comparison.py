"""A sweep and a comparison.

Does averaging with FedAdam beat training alone? Two algorithms, three seeds. Runs of one seed share partition and
initial weights, so the comparison is paired: differences within seeds, with their 95 % interval.
"""

from scipy.stats import t

import fedlayers

tables = fedlayers.run(
    study="comparison",
    algorithm=["local", "fedadam"],  # a list is a sweep
    seed=[0, 1, 2],
    clients=4,
    rounds=3,
    examples_per_client=100,
    metrics=["evaluation"],
    figures=False,
)
records = tables.records
final = records[
    (records["moment"] == "final") & (records["scope"] == "client_test") & (records["metric"] == "accuracy")
]
accuracy = final.groupby(["seed", "algorithm"], observed=True)["value"].mean().unstack("algorithm")  # over clients
print(accuracy.round(3).to_string())

gain = accuracy["fedadam"] - accuracy["local"]
half = t.ppf(0.975, len(gain) - 1) * gain.sem()
print(f"fedadam against local: {gain.mean():+.3f} ± {half:.3f} (95 % interval over {len(gain)} seeds)")
