"""Which algorithm is better, on whom, and how sure is that?

``python -m fedlayers.compare`` says it, see :mod:`fedlayers.commands.compare`.
"""
