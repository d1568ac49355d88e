"""Quickstart.

A small federation on handwritten digits, its accuracy beside what chance would give, and a table of its layers: how far
training moved each, how far clients have drifted apart, and how well their updates agree.
"""

import fedlayers

tables = fedlayers.run(
    study="quickstart",
    clients=4,
    rounds=3,
    partition="dirichlet",
    metrics=["evaluation", "weights"],
    figures=False,  # draw them later: python -m fedlayers.plot results/quickstart
)
records = tables.records

accuracy = records[(records["metric"] == "accuracy") & (records["scope"] == "server_test")]
print(accuracy[["round", "moment", "value", "stderr", "n", "chance"]].round(3).to_string(index=False))

layers = records[records["layer"].notna() & records["metric"].isin(["update_norm", "drift", "update_cosine"])]
by_layer = layers.groupby(["layer_index", "layer", "round", "metric"], observed=True)["value"].mean()  # over clients
print(by_layer.unstack("metric").round(3).to_string())
