"""A report of a run or a study: one HTML file that opens anywhere, see :mod:`fedlayers.report.page`."""
