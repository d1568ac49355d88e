"""Up to which layer should clients share a model? Rules on layer measures, with errors, and an honest "nowhere"."""
