"""Which keys does a configuration have, of which types and ranges?

May import ``core``.
"""
