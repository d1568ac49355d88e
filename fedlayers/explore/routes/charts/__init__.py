"""What do the page's charts show?

Thin routes, one file a view: parameters are checked, ``fedlayers.charts`` computes, and the answer is an Arrow stream
with the facts in its schema's metadata.
"""
