"""How do clients differ, as records say: where models disagree, what kind of shift it is, and where it comes from?"""
