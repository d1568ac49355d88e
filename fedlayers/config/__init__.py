"""What did the user ask for?

The typed configuration, how it is composed from YAML and words, and what is said about mistakes. May import ``core``.
"""
