"""Which layers do the clients share, who chose them, and from when on?"""
