"""How do clients differ: where their models disagree, what kind of shift it is, and where it is from?"""
