"""Where a model looks: maps over the positions of an input."""
