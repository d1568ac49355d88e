"""Which layers do clients share, and why?"""
