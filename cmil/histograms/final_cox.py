"""From a patient's selected features to a log hazard ratio."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# On standardised features; without any, few events and many features have no maximum.
_PENALTY = 0.1


class FinalCox:
    """Cox model with a ridge penalty on standardised features of training patients.

    Cox 1972 (JRSS B 34:187), ties by Efron 1977; lifelines' `CoxPHFitter(penalizer=0.1)`.

    Parameters
    ----------
    features
        (n, S) of the selected features.
    truth
        (n, 2) times and events.
    """

    def __init__(self, features: NDArray[np.float64], truth: NDArray[np.float64]) -> None:
        from lifelines import CoxPHFitter

        mean, spread = features.mean(axis=0), features.std(axis=0)
        varying = np.flatnonzero(spread > 1e-9 * np.maximum(1, np.abs(mean)))
        table = pd.DataFrame((features[:, varying] - mean[varying]) / spread[varying])
        table["time"], table["event"] = truth[:, 0], truth[:, 1]
        fitted = CoxPHFitter(penalizer=_PENALTY).fit(table, "time", "event")
        self.weights = np.zeros((features.shape[1], 1))
        self.weights[varying, 0] = fitted.params_.to_numpy() / spread[varying]
        self._bias = -mean @ self.weights

    def logits(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log hazard ratios (n, 1) of features (n, S), against the mean training patient."""
        ratios: NDArray[np.float64] = features @ self.weights + self._bias
        return ratios
