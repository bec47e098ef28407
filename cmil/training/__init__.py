"""Train on development patients: folds, search, fits side by side, what out-of-fold decides."""
