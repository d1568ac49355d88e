"""A notebook.

In cells, which begin with `# %%`: VS Code, PyCharm and Spyder run them one by one, and
`jupytext --to ipynb notebook.py` makes a notebook of them.
"""

# %% A run. In a cell that is run again the tables come back at once: the run is there.
import fedlayers

tables = fedlayers.run(study="notebook", clients=4, rounds=2, metrics=["evaluation", "weights"], figures=False)
tables.facts[["dataset", "algorithm", "seed", "rounds"]]

# %% Learning curves; a notebook shows the figure.
figure = tables.plot("learning_curves", width=5, title=False)
figure.savefig("learning_curves.png")

# %% Who holds what?
tables.plot("partition").savefig("partition.png")

# %% Which layer do clients agree on?
records = tables.records
agreement = records[(records["metric"] == "update_cosine") & records["layer"].notna()]
print(agreement.groupby(["layer", "round"], observed=True)["value"].agg(["mean", "std", "count"]).round(3).to_string())

# %% The same call again trains nothing: the run is there. A setting changed is another run; both stay.
again = fedlayers.run(study="notebook", clients=4, rounds=2, metrics=["evaluation", "weights"], figures=False)
assert again.records.equals(records)
