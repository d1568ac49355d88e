"""All trackers as one, for any training loop."""
