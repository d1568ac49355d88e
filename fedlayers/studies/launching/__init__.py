"""Where do the runs of a sweep run?

Jobs of a SLURM cluster, or processes of this machine. May import what ``studies`` may.
"""
