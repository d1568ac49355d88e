"""Which data sets come with the program?

A file each: where their files are and how they are read. May import ``core`` and ``data``.
"""
