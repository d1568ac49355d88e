"""How alike are clients, who belongs together, and who holds what?

Charts of the view Clients. May import what ``charts`` may.
"""
