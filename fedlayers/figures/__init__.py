"""What does a run look like?

Figures of runs and studies, as PNG and PDF files that can go into a paper: by subject in ``layers``, ``clients`` and
``studies``, which share ``drawing`` and draw what ``views`` select. May import ``core``, ``runs``, ``statistics`` and
``views``.
"""
