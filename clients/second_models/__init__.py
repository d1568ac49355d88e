"""Participants that train a model of their own beside the shared one."""
