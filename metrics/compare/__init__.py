"""Measures of how alike two representations of the same records are, as functions of arrays."""
