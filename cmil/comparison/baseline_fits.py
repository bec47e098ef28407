"""How a baseline learns: what training patients teach it, and what it then says of others.

The truth of training patients tells what is learnt: (m,) labels 0 and 1, (m,) classes from 0 of
which there are more than two, or (m, 2) times and events. What is said of others is a logit, (k,);
of classes a logit each, (k, K); of an endpoint the log hazard ratio, (k,).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from cmil.comparison.ridge_regression import ridge_cox, ridge_logistic, ridge_softmax
from survival.partial_likelihood import partial_likelihood, risk_sets

# Embeddings are wider than cohorts are long: how much to shrink is chosen, from strong to weak.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_INNER_FOLDS = 3

Values = NDArray[np.float64]
Truth = NDArray[np.int64] | NDArray[np.float64]
Fit = Callable[[Values, Truth, Values, np.random.SeedSequence], Values]


@dataclass(frozen=True)
class _Ridge:
    """A ridge regression: what it says of others, and what held-out patients lose by that.

    `says` is penalty, (m, d), truth, (k, d) -> (k,) or (k, K); `loss` takes that and the truth.
    """

    says: Callable[[float, Values, Truth, Values], Values]
    loss: Callable[[Values, Truth], float]


def strata_of(truth: Truth) -> NDArray[np.int64]:
    """Tell what folds are stratified by, (m,): the label, the class, or whether the event came."""
    return np.asarray(truth if truth.ndim == 1 else truth[:, 1], dtype=np.int64)


def fit_penalised_regression(
    inputs: Values, truth: Truth, others: Values, seed: np.random.SeedSequence
) -> Values:
    """Regression with a ridge penalty, its strength chosen within training.

    Logistic, of several classes multinomial, of an endpoint Cox's. Classes weigh the same. The
    strength is that of `PENALTIES` with the least log loss, or the largest partial likelihood of
    the patients left out, in a stratified inner cross-validation, the strongest of equals.
    Standardised inputs are turned to the training patients' principal axes first: no ridge solution
    changes by it, and there are fewer axes than embedding dimensions. Where a class has one
    patient, there is nothing to choose by and the strongest penalty is taken.
    """
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(inputs)
    known = scaler.transform(inputs)
    axes = np.linalg.svd(known, full_matrices=False)[2].T
    known, unknown = known @ axes, scaler.transform(others) @ axes
    ridge, strata = _ridge_of(truth), strata_of(truth)
    rarest = int(np.bincount(strata, minlength=2).min())
    loss = np.zeros(len(PENALTIES))
    if rarest > 1:
        drawn = int(seed.generate_state(1)[0])
        inner = StratifiedKFold(min(_INNER_FOLDS, rarest), shuffle=True, random_state=drawn)
        for kept, held_out in inner.split(known, strata):
            for i, penalty in enumerate(PENALTIES):
                said = ridge.says(penalty, known[kept], truth[kept], known[held_out])
                loss[i] += ridge.loss(said, truth[held_out])
    return ridge.says(PENALTIES[int(np.argmin(loss))], known, truth, unknown)


def fit_regression(
    inputs: Values, truth: Truth, others: Values, seed: np.random.SeedSequence
) -> Values:
    """Regression of few inputs, with a ridge penalty of 1, classes weighing the same.

    A missing value becomes the training patients' median, and that it was missing an input of its
    own; an input that no training patient has becomes 0.
    """
    del seed  # nothing is drawn
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    prepare = make_pipeline(imputer, StandardScaler()).fit(inputs)
    known, unknown = prepare.transform(inputs), prepare.transform(others)
    return _ridge_of(truth).says(1.0, known, truth, unknown)


def fit_prevalence(
    inputs: Values, truth: Truth, others: Values, seed: np.random.SeedSequence
) -> Values:
    """Score by the centre alone: the log odds of the label among its training patients.

    Classes weigh the same, so the prevalence of all training patients is one half; half a patient
    of each class is added to every centre. A centre without training patients has that prevalence:
    all patients of unseen centres score alike, and the AUC among them is one half. Of several
    classes, the log of each one's share, likewise. Of an endpoint, a Cox model of the centres with
    a ridge penalty of 1 on their log hazard ratios, which sum to 0: that of an unseen centre is 0.
    """
    del seed  # nothing is drawn
    centres = np.unique(inputs[:, 0])
    if truth.ndim == 2:
        is_of, are_of = (np.equal(x[:, :1], centres).astype(float) for x in (inputs, others))
        return _cox(1.0, is_of, truth, are_of)
    classes = strata_of(truth)
    kinds = max(2, int(classes.max()) + 1)
    weight = len(classes) / (kinds * np.bincount(classes, minlength=kinds))
    logits = np.zeros((len(others), kinds))
    for centre in centres:
        shares = np.bincount(classes[inputs[:, 0] == centre], minlength=kinds) * weight
        logits[others[:, 0] == centre] = np.log((shares + 0.5) / (shares[0] + 0.5))
    return logits if kinds > 2 else logits[:, 1]


def _ridge_of(truth: Truth) -> _Ridge:
    """Choose the regression that fits what is learnt."""
    if truth.ndim == 2:
        return _Ridge(_cox, _partial_loss)
    return _Ridge(_softmax, _softmax_loss) if truth.max() > 1 else _Ridge(_logistic, _log_loss)


def _logistic(penalty: float, inputs: Values, truth: Truth, others: Values) -> Values:
    coefficients, intercept = ridge_logistic(inputs, strata_of(truth), penalty)
    return others @ coefficients + intercept


def _softmax(penalty: float, inputs: Values, truth: Truth, others: Values) -> Values:
    coefficients, intercepts = ridge_softmax(inputs, strata_of(truth), penalty)
    return others @ coefficients + intercepts


def _cox(penalty: float, inputs: Values, truth: Truth, others: Values) -> Values:
    # Of centred inputs 0 is the mean training patient, so that folds can be pooled.
    return others @ ridge_cox(inputs, np.asarray(truth, dtype=np.float64), penalty)


def _log_loss(logits: Values, truth: Truth) -> float:
    """Mean over the classes of each one's mean loss."""
    losses = np.logaddexp(0, np.where(truth == 1, -logits, logits))
    return float(np.mean([losses[truth == label].mean() for label in np.unique(truth)]))


def _softmax_loss(logits: Values, truth: Truth) -> float:
    classes = strata_of(truth)
    losses = -log_softmax(logits, axis=1)[np.arange(len(classes)), classes]
    return float(np.mean([losses[classes == k].mean() for k in np.unique(classes)]))


def _partial_loss(risks: Values, truth: Truth) -> float:
    """Negative log partial likelihood of patients among themselves, per event."""
    sets = risk_sets(truth[:, 0], truth[:, 1])
    among = partial_likelihood(sets, risks[sets.order][:, None], np.ones(1))
    return -among.loglik / len(sets.deaths)
