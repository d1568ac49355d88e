"""How does the program speak to Flower?

The adapter to its moving names, arrays, the ClientApp, sessions, replies, and what strategies declare. May import
``core`` and ``config``.
"""
