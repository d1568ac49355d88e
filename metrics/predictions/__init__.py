"""What does a model say about the examples of a split?"""
