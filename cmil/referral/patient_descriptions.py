"""Patients described by their embeddings, and what development looks like by them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cmil.patient_bags import PatientBags
from cmil.progress import progress
from cmil.referral.shift_reference import (
    FEWEST_IN_DEVELOPMENT,
    ShiftReference,
    describe_patient,
    fit_shift_reference,
)
from cohorts.manifest import Cohort

Descriptions = Mapping[str, NDArray[np.float64]]
"""patient_id -> (F,) description."""


def describe_patients(bags: PatientBags) -> Descriptions:
    """Describe every patient, one bag in memory at a time where bags are mapped."""
    described = {}
    with progress("describe (patients)", len(bags.bags)) as advance:
        for patient, bag in bags.bags.items():
            described[patient] = describe_patient(bag.instances.numpy())
            advance(note=patient)
    return described


def development_reference(
    cohort: Cohort, described: Descriptions, seed: int
) -> ShiftReference | None:
    """Fit the reference of a study; None where development has too few patients to tell a shift.

    Parameters
    ----------
    cohort
        Whose development patients are taken, those that are described.
    seed
        The study's.
    """
    patients = cohort.development.patients
    patients = patients[patients.index.isin(list(described))]
    if len(patients) < FEWEST_IN_DEVELOPMENT:
        return None
    rows = np.stack([described[str(patient)] for patient in patients.index])
    return fit_shift_reference(rows, patients["centre"], np.random.default_rng(seed))
