"""What does a stage keep of its input, and in how many directions?"""
