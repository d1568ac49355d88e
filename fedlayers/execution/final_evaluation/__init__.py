"""What is evaluated at the end of a run, and what of it is known from its rounds?"""
