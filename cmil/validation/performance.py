"""How the frozen score and decision do, cohort by cohort."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cmil.validation.auc_difference import (
    AucDifference,
    auc_difference,
    few_patients_auc_difference,
)
from cmil.validation.bootstrap import SAMPLES, patient_weights
from cmil.validation.decisions import sensitivity, specificity
from cmil.validation.discrimination import FEW, estimate_auc, roc_curve
from cmil.validation.estimate import Estimate
from cohorts.errors import DataError
from cohorts.strata import DEVELOPMENT, POOLED


def cohorts_of(predictions: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give the groups that are reported: development, each external centre, all external.

    Raises
    ------
    DataError
        If a development patient's score is not out-of-fold: it would flatter the model.
    """
    refuse_flattered(predictions)
    development = predictions[predictions["split"] == "development"]
    if len(development):
        yield DEVELOPMENT, development
    external = predictions[predictions["split"] == "external"]
    centres = list(external.groupby("centre", sort=True))
    for centre, patients in centres:
        yield str(centre), patients
    if len(centres) > 1:
        yield POOLED, external


def refuse_flattered(predictions: pd.DataFrame) -> None:
    """Refuse scores by models that have seen their patient.

    Raises
    ------
    DataError
        Naming the first development patient whose score is not out-of-fold.
    """
    development = predictions[predictions["split"] == "development"]
    flattered = development[development["score_kind"] != "oof"]
    if len(flattered):
        patient = flattered["patient_id"].iloc[0]
        raise DataError(
            f'development patient "{patient}" has a score of kind '
            f'"{flattered["score_kind"].iloc[0]}"; only out-of-fold scores (oof) are evaluated'
        )


def cohort_auc(patients: pd.DataFrame, seed: np.random.SeedSequence) -> Estimate:
    """Estimate the AUC of a cohort, with the interval that every table and page gives it.

    By `estimate_auc`. The bootstrap that few patients need is drawn here, so that one seed gives
    one interval, whatever the order of the rows and whatever else is drawn.

    Parameters
    ----------
    patients
        `patient_id, centre, score, label`.
    seed
        Of the study.
    """
    ordered = patients.sort_values("patient_id")
    draws = SAMPLES if _fewest_of_a_label(ordered["label"]) < FEW else 0
    weights = patient_weights(ordered[["label", "centre"]], draws, np.random.default_rng(seed))
    return estimate_auc(ordered["score"], ordered["label"], weights)


def cohort_auc_difference(
    aucs: tuple[Estimate, Estimate],
    scores: tuple[ArrayLike, ArrayLike],
    labels: ArrayLike,
    seed: np.random.SeedSequence,
) -> AucDifference:
    """Compare two scores of the same patients, by DeLong's test if each label has 10 or more.

    Else by `few_patients_auc_difference`.

    Parameters
    ----------
    aucs
        Of both scores, as `cohort_auc` gives them.
    scores, labels
        (n,) each; at least 5 patients of each label.
    seed
        Of the study; few patients need draws.
    """
    if _fewest_of_a_label(labels) >= FEW:
        return auc_difference(*scores, labels)
    one, other = ((auc.ci_low, auc.ci_high) for auc in aucs)
    rng = np.random.default_rng(seed)
    return few_patients_auc_difference(*scores, labels, (one, other), rng)


def _fewest_of_a_label(labels: ArrayLike) -> int:
    positives = int((np.asarray(labels) == 1).sum())
    return min(positives, np.size(labels) - positives)


def performance(predictions: pd.DataFrame, seed: np.random.SeedSequence) -> pd.DataFrame:
    """Discrimination and decisions of every cohort, with 95% confidence intervals.

    Parameters
    ----------
    predictions
        With columns `patient_id, centre, split, score_kind, score, label, decision`.
    seed
        Of the bootstrap of cohorts with few patients of a label.

    Returns
    -------
    DataFrame
        One row a cohort: `cohort, patients, positives`; `auc, auc_ci_low, auc_ci_high` and
        `auc_method` (DeLong on the logit scale; see `estimate_auc` for few patients);
        `sensitivity` and `specificity` at the frozen threshold, each with `_k, _n, _ci_low,
        _ci_high` (Wilson); `note`, which says what is to be said of the AUC.

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
    return pd.DataFrame([_row(name, group, seed) for name, group in cohorts_of(predictions)])


def roc_curves(predictions: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    """ROC curve of every cohort that has both labels."""
    return {
        name: roc_curve(group["score"], group["label"])
        for name, group in cohorts_of(predictions)
        if group["label"].nunique() == 2
    }


def _row(cohort: str, group: pd.DataFrame, seed: np.random.SeedSequence) -> dict[str, object]:
    row: dict[str, object] = {
        "cohort": cohort,
        "patients": len(group),
        "positives": int(group["label"].sum()),
    }
    auc = cohort_auc(group, seed)
    row["auc"], row["auc_ci_low"], row["auc_ci_high"] = auc.value, auc.ci_low, auc.ci_high
    row["auc_method"] = auc.method
    for name, measure in (("sensitivity", sensitivity), ("specificity", specificity)):
        proportion = measure(group["decision"], group["label"])
        row[name] = proportion.value
        row[f"{name}_k"], row[f"{name}_n"] = proportion.k, proportion.n
        row[f"{name}_ci_low"], row[f"{name}_ci_high"] = proportion.ci_low, proportion.ci_high
    row["note"] = f"AUC: {auc.note}" if auc.note else ""
    return row
