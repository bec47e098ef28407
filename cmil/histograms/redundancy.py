"""How much of one description of the patients another one already holds."""

import numpy as np
from numpy.typing import NDArray


def redundancy(features: NDArray[np.float64], given: NDArray[np.float64], folds: int = 5) -> float:
    """Share of the variance of `features` that `given` predicts in patients left out.

    One less the summed squared error of ridge regressions over the summed variance: the
    redundancy index of Stewart & Love 1968 (Psychol. Bull. 70:160), cross-validated, since with
    more features than patients it is 1 for anything in the patients fitted on. 1 says that
    `features` are a linear function of `given`, 0 (or less) that they are none.

    Parameters
    ----------
    features
        (n, F), e.g. bags of words.
    given
        (n, G), e.g. likelihood histograms.
    folds
        At most n, at least 2; patients are dealt out in turn.
    """
    from sklearn.linear_model import RidgeCV

    fold_of = np.arange(len(features)) % folds
    left, total = 0.0, 0.0
    for fold in range(folds):
        seen = fold_of != fold
        ridge = RidgeCV(np.geomspace(1e-8, 1e2, 11)).fit(given[seen], features[seen])
        left += float(((features[~seen] - ridge.predict(given[~seen])) ** 2).sum())
        total += float(((features[~seen] - features[seen].mean(axis=0)) ** 2).sum())
    return 1 - left / total
