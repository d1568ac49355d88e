"""What kind of heterogeneity a client has: shifted labels, shifted features, or labels that mean something else."""
