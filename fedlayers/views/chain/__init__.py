"""What do layers, taken as a chain, answer?

Whether later ones predict better, compress, and differ from those before; and how their metrics go over depth, time and
models. May import what ``views`` may.
"""
