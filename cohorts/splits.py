"""Divide development patients: into folds stratified by label and centre, or by centre."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cohorts.errors import DataError


def stratified_folds(
    patients: pd.DataFrame, folds: int, rng: np.random.Generator, by: str = "label"
) -> pd.Series:
    """Assign every patient, with all of a patient's slides, to one fold.

    Patients are shuffled within each stratum (label x centre), the strata are laid end to end
    ordered by label, and the line is dealt out like cards. So the folds differ by at most one
    patient in size and by at most one in each label, and a stratum spreads as evenly as it can.

    Parameters
    ----------
    patients
        Indexed by `patient_id`, with columns `by` and `centre`; one row per patient.
    folds
        Number of folds, at least 2.
    rng
        Source of the shuffling.
    by
        Column of what is to be learnt: the label or, for survival, the event.

    Returns
    -------
    Series of int
        Fold 0 .. folds-1, indexed like `patients`.

    Raises
    ------
    DataError
        If a class has fewer patients than there are folds, so that a fold could not be scored.
    """
    counts = patients[by].value_counts()
    if len(counts) < 2:
        only = "no patient" if counts.empty else f"only {by} {counts.index[0]}"
        raise DataError(f"the development cohort has {only}; both {by}s 0 and 1 are needed")
    if counts.min() < folds:
        raise DataError(
            f"{by} {counts.idxmin()} has {counts.min()} development patients for {folds} folds; "
            f"set folds to at most {counts.min()} (at least 2 are needed)"
        )
    strata = list(zip(patients[by], patients["centre"], strict=True))
    return pd.Series(dealt(strata, folds, rng), index=patients.index, name="fold")


def centre_folds(patients: pd.DataFrame, by: str = "label") -> pd.Series:
    """Make each centre a fold, in alphabetical order.

    A centre may lack a class: its patients are scored all the same, and have no AUC of their own.

    Parameters
    ----------
    patients
        Indexed by `patient_id`, with columns `by` and `centre`; one row per patient.

    Returns
    -------
    Series of int
        Fold of each patient, indexed like `patients`.

    Raises
    ------
    DataError
        If there is one centre only, or a class that all patients of which are in one centre.
    """
    centres = sorted(patients["centre"].unique())
    if len(centres) < 2:
        raise DataError(
            f'all development patients are of centre "{centres[0]}"; to leave centres out takes '
            'two; set hold_out to "folds"'
        )
    for value, group in patients.groupby(by, sort=True):
        if group["centre"].nunique() == 1:
            only = group["centre"].iloc[0]
            raise DataError(
                f'all development patients with {by} {value} are of centre "{only}": without it a '
                'model cannot learn them; set hold_out to "folds"'
            )
    if patients[by].nunique() < 2:
        raise DataError(
            f"the development cohort has only {by} {patients[by].iloc[0]}; both {by}s 0 and 1 are "
            "needed"
        )
    return pd.Series(
        [centres.index(centre) for centre in patients["centre"]], index=patients.index, name="fold"
    )


def dealt(strata: Iterable[Any], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal members of ordered strata out to folds, as evenly as can be.

    Parameters
    ----------
    strata
        (n,) stratum of each member.

    Returns
    -------
    (n,) folds from 0.
    """
    places: dict[Any, list[int]] = {}
    for place, stratum in enumerate(strata):
        places.setdefault(stratum, []).append(place)
    line = [place for _, members in sorted(places.items()) for place in rng.permutation(members)]
    fold = np.empty(len(line), dtype=np.int64)
    fold[line] = np.arange(len(line)) % folds
    return fold
