"""What may metrics answer?

Rows of what their facts state, weights left as they are, and each value once.
"""
