"""What do the trackers' figures show of a run?"""
