"""What does HetVis read of a run?

Samples, checkpoints, outputs, weights, cosines and affinities in its layout, without pickled objects; and such a folder
opened again.
"""
