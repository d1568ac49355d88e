"""Clusters of records: by who is among whose nearest neighbours, in the context of all records."""
