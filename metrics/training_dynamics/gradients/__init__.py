"""How large are gradients and weights of each layer, and is something wrong with them?"""
