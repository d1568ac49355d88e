"""How do the clients of a cohort run side by side?"""
