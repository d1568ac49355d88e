"""How do the weights of models lie side by side?

Participants, their layers as vectors, and how hidden units are matched.
"""
