"""Times, events and scores as arrays of one length, refused where they are not what they say."""

import numpy as np
from numpy.typing import ArrayLike

from cohorts.errors import DataError
from survival.product_limit import FloatArray


def outcome_arrays(time: ArrayLike, event: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Give time and event as float arrays (n,).

    Raises
    ------
    DataError
        If there is no patient, a time is not above 0 and finite, an event is not 0 or 1, or the
        lengths differ.
    """
    times = np.asarray(time, dtype=np.float64)
    events = patient_values(event, len(times), "event")
    if not len(times):
        raise DataError("time: no patient; give at least one")
    for says, wrong in {
        "time: not a finite number above 0": ~(np.isfinite(times) & (times > 0)),
        "event: not 0 (censored) or 1 (event)": ~np.isin(events, (0, 1)),
    }.items():
        if wrong.any():
            raise DataError(f"{says} in row {int(np.flatnonzero(wrong)[0])}; correct the table")
    return times, events


def patient_values(values: ArrayLike, patients: int, name: str) -> FloatArray:
    """Give one finite number a patient (n,).

    Raises
    ------
    DataError
        If there are more or fewer than `patients`, or one is missing or infinite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (patients,):
        raise DataError(f"{name}: shape {numbers.shape}; give one number for each of {patients}")
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise DataError(f"{name}: missing or infinite in row {row}; leave the patient out")
    return numbers


def probabilities(values: ArrayLike, patients: int, name: str) -> FloatArray:
    """Give one probability a patient (n,).

    Raises
    ------
    DataError
        As `patient_values`, and if a value is not from 0 to 1.
    """
    numbers = patient_values(values, patients, name)
    wrong = (numbers < 0) | (numbers > 1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(f"{name}: {numbers[row]:g} in row {row} is no probability from 0 to 1")
    return numbers
