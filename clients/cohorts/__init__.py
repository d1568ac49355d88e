"""Cohorts: clients that train as one, their weights stacked along a leading axis."""
