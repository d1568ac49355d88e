"""Clients: what a participant does, as NumPyClients that train and measure."""
