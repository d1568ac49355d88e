"""Participants whose steps go along another loss than the mean of a batch's losses."""
