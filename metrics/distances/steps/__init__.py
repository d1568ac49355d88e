"""What is done to weights before they are compared?

Steps that map clients to new clients.
"""
