"""What of a run gives cause to worry while it goes on?"""
