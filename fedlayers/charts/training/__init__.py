"""How well is each class recognised, and what happened while clients trained?

Charts of the view Classes and training. May import what ``charts`` may.
"""
