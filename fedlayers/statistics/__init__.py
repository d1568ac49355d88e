"""What can be concluded from values?

Means, spreads and intervals over clients, pairs and runs. May import ``core``.
"""
