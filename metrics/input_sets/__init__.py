"""Inputs on which predictors are compared where a client has no records: samples of the data space, without labels."""
