"""What do all parts share?

Layers, the rows of tables and their schema, schedules, seeding, checks and errors, weights, devices. Imports nothing
else of the program, and neither Flower nor Hydra.
"""

# Which fedlayers this is.
VERSION = "0.1.0"
