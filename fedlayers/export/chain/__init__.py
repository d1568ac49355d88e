"""What did the chain of metric predictors leave of a run?

``params.yaml``, ``log.jsonl``, ``best.pt``, ``last.pt``, the results of its test and its plots, from a run of ours.
"""
