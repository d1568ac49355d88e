"""What is the gradient of every single example?

Taps on layers, gradients from what they saw, and sums of them.
"""
