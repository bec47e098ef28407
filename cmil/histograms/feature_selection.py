"""Choose among a patient's many features: those that say something, and not all the same."""

import numpy as np
from numpy.typing import NDArray

from cmil.histograms.cross_fitting import inner_folds
from cmil.histograms.targets import Targets

_PENALTIES = 12


def select_features(
    features: NDArray[np.float64],
    targets: Targets,
    folds: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Drop what varies with another feature, then keep what the LASSO keeps.

    The published recipe of the cMIL papers. All of it is fitted on the patients given; give
    training patients only.

    Parameters
    ----------
    features
        (n, F)
    targets
        Of the n patients. With more than two classes, what the LASSO keeps for any class against
        the others is chosen; of times and events, what it keeps for the martingale residuals.

    Returns
    -------
    Positions of the chosen features, ascending, at least one; none only if nothing varies.
    """
    candidates = uncorrelated(features)
    if not len(candidates):
        return candidates
    mean, spread = features[:, candidates].mean(axis=0), features[:, candidates].std(axis=0)
    standardised = (features[:, candidates] - mean) / spread
    if (residuals := targets.residuals) is not None:
        fold_of = inner_folds(targets.classes, folds, rng)
        return candidates[lasso_of_residuals(standardised, residuals, fold_of)]
    labels = targets.classes
    classes = range(1, 2) if labels.max() == 1 else range(int(labels.max()) + 1)
    kept = [lasso(standardised, (labels == c).astype(np.int64), folds, rng) for c in classes]
    return candidates[np.unique(np.concatenate(kept))]


def uncorrelated(features: NDArray[np.float64], limit: float = 0.9) -> NDArray[np.int64]:
    """Keep features, from the first, whose |Pearson r| with each one kept is at most `limit`.

    Parameters
    ----------
    features
        (n, F); a feature that does not vary is dropped.
    """
    centred = features - features.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    varying = np.flatnonzero(length > 1e-9 * np.maximum(1, np.abs(features).max(axis=0)))
    directions = centred[:, varying] / length[varying]
    correlations = np.abs(directions.T @ directions)
    kept: list[int] = []
    for column in range(len(varying)):
        if not kept or correlations[column, kept].max() <= limit:
            kept.append(column)
    return varying[kept]


def lasso(
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    folds: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Features with a coefficient in the L1-penalised logistic regression of least held-out loss.

    As `glmnet::cv.glmnet(family = "binomial")` with `lambda.min`: of a path of penalties that
    starts where the first feature enters, the one with the least log loss over patient folds,
    both labels weighing the same.

    Parameters
    ----------
    features
        (n, F), standardised.
    labels
        (n,) 0 or 1, at least two of each.

    Returns
    -------
    Positions of the chosen, at least one: the best single one where the path starts empty.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import l1_min_c

    # C of scikit-learn is the inverse of the penalty.
    path = l1_min_c(features, labels, loss="log") * np.geomspace(1.2, 300, _PENALTIES)
    models = [
        # A dozen patients may take more than the hundred steps that are usual.
        LogisticRegression(
            C=c,
            l1_ratio=1,
            solver="liblinear",
            class_weight="balanced",
            random_state=0,
            max_iter=10_000,
        )
        for c in path
    ]
    fold_of = inner_folds(labels, folds, rng)
    losses = np.zeros(len(models))
    for held_out in (fold_of == f for f in range(fold_of.max() + 1)):
        truth = labels[held_out]
        for i, model in enumerate(models):
            model.fit(features[~held_out], labels[~held_out])
            logits = features[held_out] @ model.coef_[0] + model.intercept_
            log_losses = np.logaddexp(0, np.where(truth == 1, -logits, logits))
            losses[i] += (log_losses / np.bincount(labels)[truth]).sum()
    best = models[int(losses.argmin())].fit(features, labels)
    return _chosen_or_best(best.coef_[0], features, labels - labels.mean())


def lasso_of_residuals(
    features: NDArray[np.float64], residuals: NDArray[np.float64], fold_of: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Features with a coefficient in the LASSO of martingale residuals of least held-out error.

    The partial likelihood of Cox rises from its null model along these residuals, so what enters
    this path first enters that of the LASSO-Cox first (`glmnet(family = "cox")`).

    Parameters
    ----------
    features
        (n, F), standardised.
    residuals
        (n,)
    fold_of
        (n,) fold of each patient in which the penalty is chosen.
    """
    from sklearn.linear_model import LassoCV

    patients = np.arange(len(fold_of))
    splits = [(patients[fold_of != f], patients[fold_of == f]) for f in np.unique(fold_of)]
    fitted = LassoCV(cv=splits, max_iter=20_000).fit(features, residuals)
    return _chosen_or_best(fitted.coef_, features, residuals)


def _chosen_or_best(
    coefficients: NDArray[np.float64], features: NDArray[np.float64], wanted: NDArray[np.float64]
) -> NDArray[np.int64]:
    chosen = np.flatnonzero(coefficients)
    return chosen if len(chosen) else np.array([int(np.abs(features.T @ wanted).argmax())])
