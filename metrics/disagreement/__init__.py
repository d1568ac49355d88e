"""Where two predictors disagree: two models, two clients, two rounds, or the read-outs of two layers."""
