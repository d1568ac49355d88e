"""What can a client minimise?"""
