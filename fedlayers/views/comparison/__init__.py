"""How do algorithms compare?

Which runs stand for which algorithm in which setting, what each of them reached, and what follows. May import what
``views`` may.
"""
