"""How alike are two representations?

A measure of similarity a file.
"""
