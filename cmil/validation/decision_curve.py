"""Decision curve: what acting on the score is worth at every threshold probability."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cmil.validation.bootstrap import weighted_mean

MODEL, ALL, NONE = "model", "all", "none"
METHOD = "bootstrap over patients, by centre"
THRESHOLDS = tuple(np.arange(1, 100) / 100)


def net_benefit(
    scores: ArrayLike,
    labels: ArrayLike,
    thresholds: ArrayLike,
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Count true positives a patient, less false ones weighed by the odds of the threshold.

    Vickers & Elkin 2006 (Med Decis Making 26:565); equals `dcurves::dca`. A score of at least the
    threshold is acted on.

    Parameters
    ----------
    scores, labels
        (n,) probabilities, or decisions of 0 and 1; 0 or 1.
    thresholds
        (T,) threshold probabilities above 0 and below 1.
    weights
        (B, n) samples; ones for the patients themselves.

    Returns
    -------
    (B, T)
    """
    p, y = np.asarray(scores, dtype=float), np.asarray(labels) == 1
    at = np.asarray(thresholds, dtype=float)
    odds = at / (1 - at)
    worth = np.where(y[:, None], 1.0, -odds[None, :])
    return weighted_mean((p[:, None] >= at) * worth, weights)


def decision_curve(
    scores: ArrayLike,
    labels: ArrayLike,
    weights: NDArray[np.float64],
    comparator: tuple[str, ArrayLike] | None = None,
    thresholds: ArrayLike = THRESHOLDS,
) -> pd.DataFrame:
    """Compare acting on the score with acting on all, on none, and on a comparator.

    Parameters
    ----------
    scores, labels
        (n,) probabilities; 0 or 1.
    weights
        (B, n) bootstrap samples within centres, outcome left free.
    comparator
        Name, and (n,) probabilities or decisions of 0 and 1 of a clinical model or a reader.
    thresholds
        (T,) threshold probabilities.

    Returns
    -------
    DataFrame
        One row a strategy and threshold: `strategy, threshold, net_benefit, ci_low, ci_high`;
        `difference` of the model to the strategy, with `difference_ci_low, difference_ci_high`;
        `method`.
    """
    at = np.asarray(thresholds, dtype=float)
    everyone = np.ones(np.size(labels))
    acted_on = {MODEL: np.asarray(scores, dtype=float), ALL: everyone, NONE: everyone - 1}
    if comparator is not None:
        acted_on[comparator[0]] = np.asarray(comparator[1], dtype=float)
    # The first row is the patients themselves, the others their samples.
    drawn = np.vstack([np.ones(np.size(labels)), weights])
    worth = {name: net_benefit(p, labels, at, drawn) for name, p in acted_on.items()}
    rows = []
    for name, values in worth.items():
        difference = worth[MODEL] - values
        low, high = np.quantile(values[1:], [0.025, 0.975], axis=0)
        difference_low, difference_high = np.quantile(difference[1:], [0.025, 0.975], axis=0)
        columns = {
            "strategy": name,
            "threshold": at,
            "net_benefit": values[0],
            "ci_low": low,
            "ci_high": high,
            "difference": difference[0],
            "difference_ci_low": difference_low,
            "difference_ci_high": difference_high,
            "method": METHOD,
        }
        rows.append(pd.DataFrame(columns))
    return pd.concat(rows, ignore_index=True)
