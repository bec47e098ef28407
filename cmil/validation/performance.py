"""How the frozen score and decision do, cohort by cohort."""

from collections.abc import Iterator, Mapping

import pandas as pd

from cmil.validation.decisions import sensitivity, specificity
from cmil.validation.discrimination import auc_delong, roc_curve
from cohorts.errors import DataError
from cohorts.strata import DEVELOPMENT, POOLED


def cohorts_of(predictions: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give the groups that are reported: development, each external centre, all external.

    Raises
    ------
    DataError
        If a development patient's score is not out-of-fold: it would flatter the model.
    """
    development = predictions[predictions["split"] == "development"]
    flattered = development[development["score_kind"] != "oof"]
    if len(flattered):
        patient = flattered["patient_id"].iloc[0]
        raise DataError(
            f'development patient "{patient}" has a score of kind '
            f'"{flattered["score_kind"].iloc[0]}"; only out-of-fold scores (oof) are evaluated'
        )
    if len(development):
        yield DEVELOPMENT, development
    external = predictions[predictions["split"] == "external"]
    centres = list(external.groupby("centre", sort=True))
    for centre, patients in centres:
        yield str(centre), patients
    if len(centres) > 1:
        yield POOLED, external


def performance(predictions: pd.DataFrame) -> pd.DataFrame:
    """Discrimination and decisions of every cohort, with 95% confidence intervals.

    Parameters
    ----------
    predictions
        With columns `patient_id, centre, split, score_kind, score, label, decision`.

    Returns
    -------
    DataFrame
        One row a cohort: `cohort, patients, positives`; `auc, auc_ci_low, auc_ci_high` (DeLong);
        `sensitivity` and `specificity` at the frozen threshold, each with `_k, _n, _ci_low,
        _ci_high` (Wilson); `note`, which says why a number is missing.

    Raises
    ------
    DataError
        If a label or decision is missing, or a development score is not out-of-fold.
    """
    for column in ("label", "decision"):
        without = predictions[~predictions[column].isin([0, 1])]
        if len(without):
            patient = without["patient_id"].iloc[0]
            raise DataError(f'patient "{patient}" has no {column} 0 or 1; validation needs one')
    return pd.DataFrame([_row(name, group) for name, group in cohorts_of(predictions)])


def roc_curves(predictions: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    """ROC curve of every cohort that has both labels."""
    return {
        name: roc_curve(group["score"], group["label"])
        for name, group in cohorts_of(predictions)
        if group["label"].nunique() == 2
    }


def _row(cohort: str, group: pd.DataFrame) -> dict[str, object]:
    row: dict[str, object] = {
        "cohort": cohort,
        "patients": len(group),
        "positives": int(group["label"].sum()),
    }
    estimable = group["label"].nunique() == 2
    auc = auc_delong(group["score"], group["label"]) if estimable else None
    row["auc"] = auc.value if auc else None
    row["auc_ci_low"] = auc.ci_low if auc else None
    row["auc_ci_high"] = auc.ci_high if auc else None
    for name, measure in (("sensitivity", sensitivity), ("specificity", specificity)):
        proportion = measure(group["decision"], group["label"])
        row[name] = proportion.value
        row[f"{name}_k"], row[f"{name}_n"] = proportion.k, proportion.n
        row[f"{name}_ci_low"], row[f"{name}_ci_high"] = proportion.ci_low, proportion.ci_high
    row["note"] = "" if estimable else "one label only: AUC not estimable"
    return row
