"""Who follows a run while it goes on?"""
