"""How the error falls as the least certain patients are referred: risk-coverage curve and area."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit

from cohorts.errors import DataError

_FARTHEST = 30.0  # logits; those of 0 and 1 lie at infinity
_DECIMALS = 9


@dataclass(frozen=True)
class Aurc:
    """Area under the risk-coverage curve; smaller is better.

    Attributes
    ----------
    value, ci_low, ci_high
        Mean of the error over all coverages, with its 95% percentile interval.
    least
        The area if every wrong decision were less certain than every right one.
    random
        The area if certainty said nothing: the error of everyone.
    """

    value: float
    ci_low: float
    ci_high: float
    least: float
    random: float
    patients: int
    method: str


def certainty(scores: ArrayLike, threshold: float) -> NDArray[np.float64]:
    """Distance of (n,) probabilities from the locked threshold, in logits."""
    placed = np.asarray(scores, dtype=float)
    if not ((placed >= 0) & (placed <= 1)).all():
        raise DataError("a score is missing or outside 0 to 1; a risk-coverage curve needs all")
    ends = (-_FARTHEST, _FARTHEST)
    apart = np.abs(np.clip(logit(placed), *ends) - np.clip(logit(threshold), *ends))
    # 0.3 and 0.7 are equally certain about 0.5 but for rounding.
    return np.asarray(apart.round(_DECIMALS))


def risk_coverage(scores: ArrayLike, labels: ArrayLike, threshold: float) -> pd.DataFrame:
    """Error of those answered at each coverage, most certain patients first.

    El-Yaniv & Wiener 2010 (JMLR 11:1605). Patients of like certainty come in together.

    Returns
    -------
    DataFrame
        `certainty` (answered from this one on), `answered, coverage, wrong, risk`.

    Raises
    ------
    DataError
        If a score lies outside 0 to 1 or there is no patient.
    """
    sure, wrong = _sorted(scores, labels, threshold)
    ends = _group_ends(sure)
    answered, errors = ends + 1, np.cumsum(wrong)[ends]
    return pd.DataFrame(
        {
            "certainty": sure[ends],
            "answered": answered,
            "coverage": answered / len(sure),
            "wrong": errors.astype(int),
            "risk": errors / answered,
        }
    )


def aurc(
    scores: ArrayLike,
    labels: ArrayLike,
    threshold: float,
    rng: np.random.Generator,
    samples: int = 2000,
) -> Aurc:
    """Area under the risk-coverage curve, with a bootstrap interval over patients.

    Geifman, Uziel & El-Yaniv 2019 (ICLR, arXiv 1805.08206), section 3; `least` is their optimum,
    of which the excess is E-AURC. A patient among others of like certainty counts with the risk
    at the end of the group, so the order within it makes no difference.

    Raises
    ------
    DataError
        If a score lies outside 0 to 1 or there is no patient.
    """
    sure, wrong = _sorted(scores, labels, threshold)
    patients, ends = len(sure), _group_ends(sure)
    ones = np.ones((1, patients))
    value = float(_areas(ones, wrong, ends)[0])
    drawn = rng.multinomial(patients, np.full(patients, 1 / patients), size=samples)
    low, high = np.percentile(_areas(drawn, wrong, ends), [2.5, 97.5])
    best = np.sort(wrong)
    least = float(_areas(ones, best, np.arange(patients))[0])
    method = f"percentile bootstrap over patients, {samples} samples"
    return Aurc(value, float(low), float(high), least, float(wrong.mean()), patients, method)


def _sorted(
    scores: ArrayLike, labels: ArrayLike, threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    placed, truth = np.asarray(scores, dtype=float), np.asarray(labels) == 1
    if not len(placed):
        raise DataError("a risk-coverage curve needs at least one patient")
    sure = certainty(placed, threshold)
    order = np.argsort(-sure, kind="stable")
    wrong = ((placed >= threshold) != truth).astype(float)
    return sure[order], wrong[order]


def _group_ends(sure: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.append(np.flatnonzero(sure[1:] < sure[:-1]), len(sure) - 1)


def _areas(
    counts: NDArray[np.float64] | NDArray[np.int64],
    wrong: NDArray[np.float64],
    ends: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Areas of (B, n) samples, in which patient i comes `counts[b, i]` times."""
    answered = np.cumsum(counts, axis=1)[:, ends]
    errors = np.cumsum(counts * wrong, axis=1)[:, ends]
    risk = errors / np.maximum(answered, 1)
    coming_in = np.diff(answered, axis=1, prepend=0)
    return np.asarray((coming_in * risk).sum(axis=1) / answered[:, -1])
