"""Data sets: where their files are, how they are prepared, and who holds which records."""
