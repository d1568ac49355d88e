"""Contrastive PCA: directions in which one set of records varies and another does not."""
