"""What can be read off the stages of a network?

Functions on arrays: how well a stage predicts, what it keeps of its input, and how it differs from its neighbours.
"""
