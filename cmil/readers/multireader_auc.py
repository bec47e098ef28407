"""AUC of several readers: with and without the model, and of the model against the readers.

Readers and patients are both samples: what holds of these readers in these patients is to hold of
others.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from cmil.readers.obuchowski_rockette import (
    METHOD,
    MultireaderAuc,
    mean_of_readers,
    obuchowski_rockette,
)
from cmil.validation.discrimination import placements
from cohorts.errors import DataError


@dataclass(frozen=True)
class ModelAgainstReaders:
    """AUC of the model less the mean AUC of the readers, for other readers and patients alike."""

    model: float
    readers_mean: float
    difference: float
    se: float
    df: float
    t: float
    p: float
    ci_low: float
    ci_high: float
    readers: int
    method: str


def auc_covariance(
    scores: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate the AUCs of S scores of the same patients and their covariance.

    DeLong et al. 1988, eq. 4 to 6; equals R's `pROC::cov`.

    Parameters
    ----------
    scores
        (S, N) higher means more likely positive.
    labels
        (N,) 0 or 1.

    Returns
    -------
    (S,) AUCs, (S, S) covariance.

    Raises
    ------
    DataError
        If a class has fewer than two patients.
    """
    placed = [placements(row, labels) for row in np.asarray(scores, dtype=float)]
    of_cases, of_controls = (np.stack(part) for part in zip(*placed, strict=True))
    covariance = np.zeros((len(of_cases), len(of_cases)))
    for part in (of_cases, of_controls):
        if part.shape[1] < 2:
            raise DataError("a covariance of AUCs needs two patients of each label or more")
        covariance += np.atleast_2d(np.cov(part)) / part.shape[1]
    return of_cases.mean(axis=1), covariance


def multireader_auc(
    ratings: ArrayLike, labels: ArrayLike, tests: tuple[str, ...], readers: tuple[str, ...]
) -> MultireaderAuc:
    """Compare tests, e.g. reading with and without the model, that every reader did.

    Equals R's `MRMCaov::mrmc(empirical_auc(truth, rating), test, reader, case, cov = DeLong)`.

    Parameters
    ----------
    ratings
        (T, R, N) tests x readers x patients.
    labels
        (N,) 0 or 1.

    Raises
    ------
    DataError
        If there are fewer than two tests or readers, a class has fewer than two patients, or
        names do not match the ratings.
    """
    given = np.asarray(ratings, dtype=float)
    if given.ndim != 3 or given.shape[:2] != (len(tests), len(readers)):
        raise DataError(
            f"ratings of shape {given.shape} are not {len(tests)} tests x {len(readers)} readers x "
            "patients"
        )
    aucs, covariance = auc_covariance(given.reshape(-1, given.shape[2]), labels)
    return obuchowski_rockette(aucs.reshape(given.shape[:2]), covariance, tests, readers)


def model_against_readers(
    scores: ArrayLike, ratings: ArrayLike, labels: ArrayLike
) -> ModelAgainstReaders:
    """Compare the model, which reads alone, with the mean of readers.

    The single-test analysis above of each reader's difference to the model, whose covariances hold
    the model's own sampling over patients (Hillis & Chakraborty: `RJafroc`'s
    `StSignificanceTestingCadVsRad`, "1T-RRRC"). The model is fixed, readers are a sample.

    Parameters
    ----------
    scores
        (N,) of the model.
    ratings
        (R, N) readers x patients.
    labels
        (N,) 0 or 1.

    Raises
    ------
    DataError
        If there are fewer than two readers, or a class has fewer than two patients.
    """
    given = np.asarray(ratings, dtype=float)
    if given.ndim != 2 or len(given) < 2:
        raise DataError("a mean of readers needs two of them or more; compare one reader by DeLong")
    aucs, covariance = auc_covariance(np.concatenate([[scores], given]), labels)
    readers = len(given)
    contrast = np.hstack([np.ones((readers, 1)), -np.eye(readers)])
    differences = contrast @ aucs
    of_pairs = contrast @ covariance @ contrast.T
    se, df = mean_of_readers(differences, of_pairs)
    value = float(differences.mean())
    t = value / se if se > 0 else math.nan
    half = float(student.ppf(0.975, df)) * se
    return ModelAgainstReaders(
        model=float(aucs[0]),
        readers_mean=float(aucs[1:].mean()),
        difference=value,
        se=se,
        df=df,
        t=t,
        p=float(2 * student.sf(abs(t), df)),
        ci_low=value - half,
        ci_high=value + half,
        readers=readers,
        method=METHOD,
    )
