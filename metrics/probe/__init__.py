"""What do layers put out on the probe?

Representations of the fixed examples on which clients, moments and rounds are compared.
"""
