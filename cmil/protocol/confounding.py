"""Whether a centre can be told from what should not tell it, and goes with the label."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import chi2, ncx2

from cmil.validation.decisions import wilson

FEWEST_OF_CENTRE = 5
_FOLDS = 5
# Embeddings are wider than cohorts are long: a strong ridge, the same for all inputs.
_PENALTY = 0.1


@dataclass(frozen=True)
class Association:
    """Cramer's V with its 95% interval; NaN, with a note, where there is nothing to compare."""

    v: float
    ci_low: float
    ci_high: float
    chi2: float
    p: float
    method: str
    note: str


@dataclass(frozen=True)
class CentrePrediction:
    """Out-of-fold balanced accuracy by which centres are told apart, with its 95% interval."""

    accuracy: float
    ci_low: float
    ci_high: float
    by_chance: float
    patients: int
    centres: int
    method: str
    note: str

    @property
    def beats_chance(self) -> bool:
        """Whether the whole interval lies above what guessing reaches."""
        return self.ci_low > self.by_chance


def cramers_v(table: ArrayLike) -> Association:
    """Measure the association of the rows and columns of a table of counts.

    The value is corrected for bias (Bergsma 2013, J Korean Stat Soc 42:323, eq. 4-6; R's
    `rcompanion::cramerV(bias.correct = TRUE)`). The interval is that of V = sqrt(lambda / (n
    (min(r, c) - 1))) with lambda, the noncentrality, between the two at which the chi-square found
    is the 97.5% and the 2.5% point (Smithson 2003, Confidence Intervals, ch. 4). The p value is
    Pearson's chi-square test's without Yates's correction, `chisq.test(correct = FALSE)`.

    Parameters
    ----------
    table
        (r, c) counts; empty rows and columns are left out.
    """
    method = "Cramer's V, bias-corrected; interval of the noncentral chi-square"
    counts = np.asarray(table, dtype=float)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if min(counts.shape) < 2:
        nan = math.nan
        return Association(nan, nan, nan, nan, nan, method, "one row or column only")
    n, (rows, columns) = counts.sum(), counts.shape
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / n
    found = float(((counts - expected) ** 2 / expected).sum())
    freedom = (rows - 1) * (columns - 1)
    excess = max(0.0, found / n - freedom / (n - 1))
    fewer = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1))
    value = min(1.0, math.sqrt(excess / (fewer - 1))) if fewer > 1 else math.nan
    largest = n * (min(rows, columns) - 1)
    low, high = (
        min(1.0, math.sqrt(_noncentrality(found, freedom, level) / largest))
        for level in (0.975, 0.025)
    )
    small = int((expected < 5).sum())
    notes = [f"{small} of {counts.size} expected counts below 5"] if small else []
    if high == 0:
        high = math.nan
        notes.append("more alike than chance would have it: no upper limit")
    note = "; ".join(notes)
    return Association(value, low, high, found, float(chi2.sf(found, freedom)), method, note)


def predict_centre(
    inputs: NDArray[np.float64], centres: ArrayLike, rng: np.random.Generator
) -> CentrePrediction:
    """Tell the centre of patients from `inputs`, by cross-validated multinomial ridge regression.

    Five stratified folds (fewer for small centres), inputs standardised within training, centres
    weighing the same, penalty C = 0.1. The balanced accuracy is the mean over centres of the share
    told right; its interval combines theirs (Wilson) by MOVER (Zou & Donner 2008, Stat Med
    27:1693, eq. 4), as if the folds' models were one.

    Parameters
    ----------
    inputs
        (n, d), one row a patient, no NaN.
    centres
        (n,) names. Centres of fewer than 5 patients are left out.
    rng
        Deals the folds.
    """
    method = "multinomial ridge regression, out of fold; Wilson intervals combined by MOVER"
    names, number, sizes = np.unique(
        np.asarray(centres).astype(str), return_inverse=True, return_counts=True
    )
    kept = sizes[number] >= FEWEST_OF_CENTRE
    small = int((sizes < FEWEST_OF_CENTRE).sum())
    note = f"{small} centres of fewer than {FEWEST_OF_CENTRE} patients left out" if small else ""
    known = len(names) - small
    if known < 2:
        nan = math.nan
        why = "; ".join(filter(None, [note, "fewer than two centres to tell apart"]))
        return CentrePrediction(nan, nan, nan, nan, int(kept.sum()), known, method, why)
    number = np.unique(number[kept], return_inverse=True)[1]
    told = _told_out_of_fold(inputs[kept], number, rng)
    shares = [
        wilson(int((told[number == c] == c).sum()), int((number == c).sum())) for c in range(known)
    ]
    accuracy = float(np.mean([share.value for share in shares]))
    below = math.sqrt(sum((share.value - share.ci_low) ** 2 for share in shares)) / known
    above = math.sqrt(sum((share.ci_high - share.value) ** 2 for share in shares)) / known
    return CentrePrediction(
        accuracy=accuracy,
        ci_low=max(0.0, accuracy - below),
        ci_high=min(1.0, accuracy + above),
        by_chance=1 / known,
        patients=int(kept.sum()),
        centres=known,
        method=method,
        note=note,
    )


def _told_out_of_fold(
    inputs: NDArray[np.float64], number: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import StandardScaler

    folds = min(_FOLDS, int(np.bincount(number).min()))
    drawn = int(rng.integers(2**31))
    told = np.empty_like(number)
    for seen, unseen in StratifiedKFold(folds, shuffle=True, random_state=drawn).split(
        inputs, number
    ):
        scaler = StandardScaler().fit(inputs[seen])
        model = LogisticRegression(C=_PENALTY, class_weight="balanced", max_iter=5000)
        model.fit(scaler.transform(inputs[seen]), number[seen])
        told[unseen] = model.predict(scaler.transform(inputs[unseen]))
    return told


def _noncentrality(found: float, freedom: int, level: float) -> float:
    """Find lambda for which `found` is the `level` point of the noncentral chi-square, or 0."""
    if chi2.cdf(found, freedom) <= level:
        return 0.0
    upper = max(4.0 * found, 50.0)
    while ncx2.cdf(found, freedom, upper) > level:
        upper *= 2
    return float(brentq(lambda x: ncx2.cdf(found, freedom, x) - level, 1e-9, upper, xtol=1e-8))
