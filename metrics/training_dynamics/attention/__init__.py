"""Where does each head of each attention layer look?"""
