"""What all trackers share: isolation from the training, where results go, and how they are drawn."""
