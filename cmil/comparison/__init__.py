"""Set a model beside simpler explanations and other aggregators, on the same folds."""
