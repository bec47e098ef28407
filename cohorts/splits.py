"""Divide development patients into folds: grouped by patient, stratified by label and centre."""

import numpy as np
import pandas as pd

from cohorts.errors import DataError


def stratified_folds(patients: pd.DataFrame, folds: int, rng: np.random.Generator) -> pd.Series:
    """Assign every patient, with all of a patient's slides, to one fold.

    Patients are shuffled within each stratum (label x centre), the strata are laid end to end
    ordered by label, and the line is dealt out like cards. So the folds differ by at most one
    patient in size and by at most one in each label, and a stratum spreads as evenly as it can.

    Parameters
    ----------
    patients
        Indexed by `patient_id`, with columns `label` and `centre`; one row per patient.
    folds
        Number of folds, at least 2.
    rng
        Source of the shuffling.

    Returns
    -------
    Series of int
        Fold 0 .. folds-1, indexed like `patients`.

    Raises
    ------
    DataError
        If a class has fewer patients than there are folds, so that a fold could not be scored.
    """
    counts = patients["label"].value_counts()
    if len(counts) < 2:
        only = "no patient" if counts.empty else f"only label {counts.index[0]}"
        raise DataError(f"the development cohort has {only}; both labels 0 and 1 are needed")
    if counts.min() < folds:
        raise DataError(
            f"label {counts.idxmin()} has {counts.min()} development patients for {folds} folds; "
            f"set folds to at most {counts.min()} (at least 2 are needed)"
        )
    line: list[str] = []
    for _, stratum in patients.groupby(["label", "centre"], sort=True):
        line.extend(rng.permutation(stratum.index.to_numpy()))
    dealt = pd.Series(np.arange(len(line)) % folds, index=line, name="fold")
    return dealt.reindex(patients.index)
