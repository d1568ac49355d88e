"""What do layers come to, taken as a chain?

``python -m fedlayers.chain`` trains, tests and draws, see :mod:`fedlayers.commands.chain`.
"""
