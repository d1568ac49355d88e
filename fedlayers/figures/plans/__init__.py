"""How do figures show which layers clients share, and why?"""
