"""What does a figure show of classes?"""
