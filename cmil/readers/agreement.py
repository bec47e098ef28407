"""How far readers, or a reader and the model, agree beyond chance: kappa."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from scipy.stats import t as student

from cmil.readers.ratings import Readings
from cohorts.errors import DataError

Weights = Literal["none", "linear", "quadratic"]


@dataclass(frozen=True)
class Kappa:
    """Agreement beyond chance with its 95% interval; 1 is full agreement, 0 that of chance.

    All but counts are NaN where everyone said the same of everyone: no chance to disagree.

    Attributes
    ----------
    observed, expected
        Share of agreement, seen and by chance; weighted where `method` says so.
    """

    value: float
    ci_low: float
    ci_high: float
    se: float
    observed: float
    expected: float
    patients: int
    readers: int
    method: str
    note: str


def cohen_kappa(one: ArrayLike, other: ArrayLike, weights: Weights = "none") -> Kappa:
    """Kappa of two readers.

    Cohen 1960 and 1968 with the non-null variance of Fleiss, Cohen & Everitt 1969 (Psychol. Bull.
    72:323). Equals R's `vcd::Kappa` (linear: "Equal-Spacing", quadratic:
    "Fleiss-Cohen") and `psych::cohen.kappa`, which space observed categories equally. Limits are
    cut at -1 and 1.

    Parameters
    ----------
    one, other
        (n,) categories; for weights, numbers, of which the distance counts, so that a grade
        nobody gave still lies between its neighbours.

    Raises
    ------
    DataError
        If the two differ in length or are empty.
    """
    first, second = np.asarray(one), np.asarray(other)
    if len(first) != len(second) or not len(first):
        raise DataError(
            f"kappa needs two readings of the same patients, not {len(first)} and {len(second)}"
        )
    categories, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    k, n = len(categories), len(first)
    shares = np.zeros((k, k))
    np.add.at(shares, (places[:n], places[n:]), 1 / n)
    method = {
        "none": "Cohen's kappa",
        "linear": "Cohen's kappa, linear weights",
        "quadratic": "Cohen's kappa, quadratic weights",
    }[weights]
    method += ", variance of Fleiss, Cohen & Everitt 1969"
    if k == 1:
        return _unknown(1.0, 1.0, n, 2, method)
    agreement = _agreement_weights(categories, weights)
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    observed = float((agreement * shares).sum())
    expected = float(rows @ agreement @ columns)
    value = (observed - expected) / (1 - expected)
    # What a category's row, and column, of weights is worth on average.
    of_rows, of_columns = agreement @ columns, rows @ agreement
    spread = agreement * (1 - expected) - (of_rows[:, None] + of_columns[None]) * (1 - observed)
    centre = observed * expected - 2 * expected + observed
    variance = float((shares * (spread - centre) ** 2).sum()) / (n * (1 - expected) ** 4)
    se = variance**0.5
    half = float(norm.ppf(0.975)) * se
    low, high = np.clip([value - half, value + half], -1, 1)
    return Kappa(value, float(low), float(high), se, observed, expected, n, 2, method, "")


def fleiss_kappa(readings: ArrayLike) -> Kappa:
    """Kappa of several readers who each read every patient.

    Fleiss 1971 (Psychol. Bull. 76:378); equals R's `irr::kappam.fleiss`. Its z test is of chance
    alone; the interval is of Gwet's 2008 linearised variance (Br. J. Math. Stat. Psychol. 61:29)
    with Student's t over patients, `irrCAC::fleiss.kappa.raw`.

    Parameters
    ----------
    readings
        (R, N) categories, readers x patients.

    Raises
    ------
    DataError
        If there are fewer than two readers or no patient.
    """
    said = np.asarray(readings)
    if said.ndim != 2 or said.shape[0] < 2 or not said.shape[1]:
        raise DataError("Fleiss' kappa needs two readers or more, each of every patient")
    readers, patients = said.shape
    method = "Fleiss' kappa, linearised variance (Gwet 2008), t over patients"
    counts = np.stack([(said == category).sum(axis=0) for category in np.unique(said)], axis=1)
    if counts.shape[1] == 1:
        return _unknown(1.0, 1.0, patients, readers, method)
    used = counts.mean(axis=0) / readers
    of_patients = (counts * (counts - 1)).sum(axis=1) / (readers * (readers - 1))
    observed, expected = float(of_patients.mean()), float((used**2).sum())
    value = (observed - expected) / (1 - expected)
    if patients == 1:
        return _unknown(observed, expected, patients, readers, method)
    by_chance = counts @ used / readers
    linear = (of_patients - expected) / (1 - expected) - 2 * (1 - value) * (
        by_chance - expected
    ) / (1 - expected)
    se = float(np.sqrt(((linear - value) ** 2).sum() / (patients * (patients - 1))))
    half = float(student.ppf(0.975, patients - 1)) * se
    low, high = np.clip([value - half, value + half], -1, 1)
    return Kappa(
        value, float(low), float(high), se, observed, expected, patients, readers, method, ""
    )


def agreement_table(
    readings: Readings, model: ArrayLike, weights: Weights = "none"
) -> pd.DataFrame:
    """Kappa of the model with each reader, of each two readers, and of all readers together.

    Parameters
    ----------
    model
        (N,) its decisions, in the order of `readings.patients`.

    Returns
    -------
    DataFrame
        `one, other, kappa, ci_low, ci_high, observed, expected, patients, method, note`; in the
        last row, where there are readers enough, "all readers" by Fleiss.

    Raises
    ------
    DataError
        If the model's decisions are not of as many patients.
    """
    said = {"model": np.asarray(model, dtype=float)}
    said |= dict(zip(readings.readers, readings.values, strict=True))
    pairs = [
        (one, other, cohen_kappa(said[one], said[other], weights))
        for one, other in combinations(said, 2)
    ]
    if len(readings.readers) > 2:
        pairs.append(("all readers", "all readers", fleiss_kappa(readings.values)))
    return pd.DataFrame(
        {
            "one": one,
            "other": other,
            "kappa": found.value,
            "ci_low": found.ci_low,
            "ci_high": found.ci_high,
            "observed": found.observed,
            "expected": found.expected,
            "patients": found.patients,
            "method": found.method,
            "note": found.note,
        }
        for one, other, found in pairs
    )


def _agreement_weights(categories: NDArray[Any], weights: Weights) -> NDArray[np.float64]:
    if weights == "none":
        return np.eye(len(categories))
    grades = categories.astype(float)
    apart = np.abs(np.subtract.outer(grades, grades)) / np.ptp(grades)
    return np.asarray(1 - apart if weights == "linear" else 1 - apart**2)


def _unknown(observed: float, expected: float, patients: int, readers: int, method: str) -> Kappa:
    nan = float("nan")
    note = (
        "one category only: kappa not estimable"
        if expected == 1
        else "one patient: kappa not estimable"
    )
    return Kappa(nan, nan, nan, nan, observed, expected, patients, readers, method, note)
