"""What can be asked of the service?

One file a subject. May import ``explore`` and what that may.
"""
