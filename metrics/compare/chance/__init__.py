"""How alike would representations be by chance?

Permutations of examples, and halves of them.
"""
