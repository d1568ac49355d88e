"""Which products do measures of similarity share?

Centred representations, their Gram and cross products, sketches of those.
"""
