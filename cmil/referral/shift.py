"""Whether a centre lies too far from development for the model's numbers to hold there."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cmil.referral.shift_reference import (
    FEWEST,
    PERMUTATIONS,
    ShiftReference,
    Verdict,
    apart,
    checked_descriptions,
    verdict_of,
)
from cohorts.errors import DataError

METHOD = (
    "energy coefficient (Szekely & Rizzo 2013) of patients' mean and standard deviation of each "
    "feature, permutation test over patients"
)


@dataclass(frozen=True)
class Shift:
    """How far a centre lies from development.

    Attributes
    ----------
    distance
        Energy coefficient, 0 for the same distribution, at most 1.
    p
        Of the permutation test that centre and development are one distribution.
    verdict
        "like development": p at least 0.05; "another centre": it differs, but no more than
        development centres do among each other; "too far": more than they do.
    """

    patients: int
    distance: float
    p: float
    too_far: float
    verdict: Verdict
    method: str
    note: str


def shift_of(reference: ShiftReference, descriptions: ArrayLike, rng: np.random.Generator) -> Shift:
    """Say how far a centre's patients lie from development.

    Parameters
    ----------
    descriptions
        (m, F) of the centre's patients.

    Raises
    ------
    DataError
        If a description is not finite or of another width.
    """
    rows = checked_descriptions(descriptions)
    if rows.shape[1] != len(reference.mean):
        raise DataError(
            f"patients are described by {rows.shape[1]} numbers, the reference by "
            f"{len(reference.mean)}; extract them with the model's encoder"
        )
    if len(rows) < FEWEST:
        note = f"{len(rows)} patients; a shift is tested from {FEWEST} on"
        nan = float("nan")
        return Shift(len(rows), nan, nan, reference.too_far, "too few patients", METHOD, note)
    standardised = (rows - reference.mean) / reference.scale
    distance, p = apart(standardised, reference.descriptions, rng, PERMUTATIONS)
    verdict = verdict_of(distance, p, reference.too_far)
    return Shift(len(rows), distance, p, reference.too_far, verdict, METHOD, reference.note)


def shift_table(
    reference: ShiftReference, centres: Mapping[str, ArrayLike], seed: np.random.SeedSequence
) -> pd.DataFrame:
    """One row a centre; its numbers do not depend on which other centres are given.

    Parameters
    ----------
    centres
        centre -> (m, F) descriptions of its patients.

    Returns
    -------
    DataFrame
        `centre, patients, distance, p, too_far, verdict, false_alarm_rate,
        false_alarm_rate_ci_low, false_alarm_rate_ci_high, false_alarms_of, method, note`. The
        rate is that of development centres, or where they are too few of random splits.
    """
    alarms, of = reference.false_alarms_of_centres, "development centres"
    if not alarms.n:
        alarms, of = reference.false_alarms_of_splits, "random development splits"
    rows = []
    for centre, descriptions in centres.items():
        own = np.random.default_rng([*_words(seed), *centre.encode()])
        found = shift_of(reference, descriptions, own)
        rows.append(
            {
                "centre": centre,
                "patients": found.patients,
                "distance": found.distance,
                "p": found.p,
                "too_far": found.too_far,
                "verdict": found.verdict,
                "false_alarm_rate": alarms.value,
                "false_alarm_rate_ci_low": alarms.ci_low,
                "false_alarm_rate_ci_high": alarms.ci_high,
                "false_alarms_of": of,
                "method": found.method,
                "note": found.note,
            }
        )
    return pd.DataFrame(rows)


def _words(seed: np.random.SeedSequence) -> list[int]:
    return [int(word) for word in seed.generate_state(4)]
