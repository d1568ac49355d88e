"""What can be looked at without a program?

A report of a run or a study: one HTML file that opens anywhere, see :mod:`fedlayers.report.page`. May import what
``figures`` may, and those.
"""
