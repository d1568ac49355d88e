"""How are the models of several clients measured at once?"""
