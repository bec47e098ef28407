"""The model beside other aggregators and simpler explanations, on the same patients."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from cmil.validation import cohort_auc, cohort_auc_difference, cohorts_of
from cmil.validation.auc_difference import AucDifference
from cmil.validation.discrimination import FEW, FEWEST, too_few
from cmil.validation.estimate import Estimate
from cohorts.errors import DataError
from survival.multiplicity import adjusted_p

MODEL, AGGREGATOR, BASELINE = "model", "aggregator", "baseline"
SWAPPED = (
    f"fewer than {FEW} patients of a label: interval by MOVER, p by swapping ranks (beside a score "
    "that is the same for all, labels)"
)
NO_SPREAD = "difference without spread: interval and p not estimable"

COLUMNS = (
    "cohort",
    "model",
    "role",
    "patients",
    "positives",
    "auc",
    "auc_ci_low",
    "auc_ci_high",
    "difference",
    "difference_ci_low",
    "difference_ci_high",
    "p",
    "p_holm",
    "note",
    "model_digest",
)


def compare(scores: pd.DataFrame, seed: np.random.SeedSequence) -> pd.DataFrame:
    """Give every model's AUC, and what the study's model has more of it, cohort by cohort.

    Parameters
    ----------
    scores
        One row a patient and model: `patient_id, centre, split, score_kind, label, model, role,
        score, model_digest`. Of `role` "model" there is one model, the study's; the others are of
        role "aggregator" or "baseline".
    seed
        Of the bootstrap, and the swaps, of cohorts with few patients of a label.

    Returns
    -------
    DataFrame
        One row a cohort and model, in the order of `scores`, the study's model first: `cohort,
        model, role, patients, positives`; `auc, auc_ci_low, auc_ci_high`, as in
        `performance`; `difference`,
        the AUC of the study's model less this one's, with `_ci_low`, `_ci_high` and `p` (DeLong,
        paired; below 10 patients of a label `few_patients_auc_difference`) and `p_holm` (Holm,
        over all differences of the table); `note`, which says that, or why a number is missing;
        `model_digest`.

    Raises
    ------
    DataError
        If a label is missing, a model did not score the same patients, or a development score is
        not out-of-fold.
    """
    unlabelled = scores[~scores["label"].isin([0, 1])]
    if len(unlabelled):
        patient = unlabelled["patient_id"].iloc[0]
        raise DataError(f'patient "{patient}" has no label 0 or 1; a comparison needs one')
    rows = []
    for cohort, tables in aligned_cohorts(scores):
        of_ours = cohort_auc(tables[0].reset_index(), seed)
        rows += [{"cohort": cohort, **_row(tables[0], of_ours, table, seed)} for table in tables]
    table = pd.DataFrame(rows)
    return table.assign(p_holm=adjusted_p(table["p"], "holm"))[list(COLUMNS)]


def with_measure(table: pd.DataFrame) -> pd.DataFrame:
    """Name the columns of `compare` as those of `compare_by_bootstrap`, of which each has all.

    Its AUC becomes `value, ci_low, ci_high`, and `measure` says so; the other table stays as it is.
    """
    if "measure" in table:
        return table
    of_auc = {"auc": "value", "auc_ci_low": "ci_low", "auc_ci_high": "ci_high"}
    return table.rename(columns=of_auc).assign(measure="AUC")


def aligned_cohorts(scores: pd.DataFrame) -> Iterator[tuple[str, Sequence[pd.DataFrame]]]:
    """Give each cohort's scores, a table a model, the study's model first.

    Parameters
    ----------
    scores
        One row a patient and model: `patient_id, centre, split, score_kind, model, role`, and any
        others.

    Returns
    -------
    Name of the cohort, as in `cmil.validation.cohorts_of`, and tables of the same patients in the
    same order, indexed by `patient_id`.

    Raises
    ------
    DataError
        If a model did not score the same patients, or a development score is not out-of-fold.
    """
    of_models = {str(name): rows for name, rows in scores.groupby("model", sort=False)}
    ours = str(scores.loc[scores["role"] == MODEL, "model"].iloc[0])
    order = [ours, *(name for name in of_models if name != ours)]
    cohorts = {name: dict(cohorts_of(of_models[name])) for name in order}
    for cohort, patients in cohorts[ours].items():
        reference = patients.set_index("patient_id")
        yield cohort, [_aligned(reference, cohorts[name].get(cohort), name) for name in order]


def _aligned(reference: pd.DataFrame, theirs: pd.DataFrame | None, name: str) -> pd.DataFrame:
    scored = None if theirs is None else theirs.set_index("patient_id")
    absent = reference.index if scored is None else reference.index.difference(scored.index)
    if scored is None or len(absent):
        raise DataError(f'patient "{absent[0]}" has no score by {name}; predict all patients anew')
    return scored.loc[reference.index]


def _row(
    reference: pd.DataFrame,
    of_ours: Estimate,
    theirs: pd.DataFrame,
    seed: np.random.SeedSequence,
) -> dict[str, object]:
    labels = reference["label"]
    positives = int(labels.sum())
    is_ours = theirs["role"].iloc[0] == MODEL
    smallest = min(positives, len(labels) - positives)
    auc = of_ours if is_ours else cohort_auc(theirs.reset_index(), seed)
    found = None
    if smallest >= FEWEST and not is_ours:
        scores = reference["score"], theirs["score"]
        found = cohort_auc_difference((of_ours, auc), scores, labels, seed)
    return {
        "model": theirs["model"].iloc[0],
        "role": theirs["role"].iloc[0],
        "patients": len(labels),
        "positives": positives,
        "auc": auc.value,
        "auc_ci_low": auc.ci_low,
        "auc_ci_high": auc.ci_high,
        "difference": found.value if found else math.nan,
        "difference_ci_low": found.ci_low if found else math.nan,
        "difference_ci_high": found.ci_high if found else math.nan,
        "p": found.p if found else math.nan,
        "note": _note(smallest, found),
        "model_digest": theirs["model_digest"].iloc[0],
    }


def _note(smallest: int, found: AucDifference | None) -> str:
    if smallest < FEWEST:
        return too_few(smallest)
    if found is None:
        return ""
    if smallest < FEW:
        return SWAPPED
    return NO_SPREAD if math.isnan(found.p) else ""
