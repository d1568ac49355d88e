"""What a run says about how its clients differ: disagreement, clusters of records, kinds of shift."""
