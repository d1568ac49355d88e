"""Which runs does a study expect that are not there yet, and who is going to start them?

What stands beside the runs' folders: ``expected.json``, notes of failures, and the cards of sweeps at work. May import
what ``runs`` may.
"""
