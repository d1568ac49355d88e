"""Learners: what happens in a step of local training, apart from the loop over batches."""
