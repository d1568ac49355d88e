"""Which of several algorithms is better, on whom, and how sure is that?

Resampled intervals, paired differences, ranks, Friedman's test, its post-hoc tests, fairness. Blocks are in rows and
algorithms in columns wherever a table has both.
"""
