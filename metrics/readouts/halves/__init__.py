"""What does one half of the examples say about the other?"""
