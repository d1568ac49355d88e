"""What is different about a client?

A finished or running run opened again: a client's records, what its stand-alone model and the federated one say about
them, where they disagree, and what those records have in common. May import ``opening`` and what that may.
"""
