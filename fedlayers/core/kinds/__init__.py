"""What kinds of examples are there?

Features are images, rows or tokens; an example has one class or a set of labels.
"""
