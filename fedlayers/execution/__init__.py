"""How does one run go?

What is built before it, how it starts or continues, its rounds, its progress and its end. May import all rooms above.
"""
