"""Measures of how alike two representations of the same examples are, as functions of arrays."""
