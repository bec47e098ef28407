"""What a frozen referral rule does in each cohort: whom it answers, and how often wrongly."""

import numpy as np
import pandas as pd

from cmil.referral.conformal import METASTASIS, NONE, REFER, ReferralRule
from cmil.validation import cohorts_of
from cmil.validation.decisions import wilson
from cohorts.errors import DataError


def referral_performance(predictions: pd.DataFrame, rule: ReferralRule) -> pd.DataFrame:
    """Coverage and error of development, each external centre, and all external patients.

    Parameters
    ----------
    predictions
        `patient_id, centre, split, score_kind, score, label`.

    Returns
    -------
    DataFrame
        One row a cohort: `cohort, patients`; each share as `_k, _n`, value, `_ci_low, _ci_high`
        (Wilson): `coverage` (answered, of all), `error` (wrong, of those answered), `missed`
        (answered "none", of those with metastasis), `false_alarm` (answered "metastasis", of
        those without), `error_unreferred` (wrong by the locked threshold, of all). The rule
        controls `missed` and `false_alarm`. `note` says what is not estimable, and that
        development patients made the rule.

    Raises
    ------
    DataError
        If a label is missing, or a development score is not out-of-fold.
    """
    without = predictions[~predictions["label"].isin([0, 1])]
    if len(without):
        patient = without["patient_id"].iloc[0]
        raise DataError(f'patient "{patient}" has no label 0 or 1; the error of referral needs one')
    rows = [_row(name, group, rule) for name, group in cohorts_of(predictions)]
    return pd.DataFrame(rows)


def _row(cohort: str, group: pd.DataFrame, rule: ReferralRule) -> dict[str, object]:
    truth = group["label"].to_numpy() == 1
    answers = rule(group["score"])
    answered = answers != REFER
    missed, alarmed = (answers == NONE) & truth, (answers == METASTASIS) & ~truth
    unreferred = (group["score"].to_numpy() >= rule.threshold) != truth
    row: dict[str, object] = {"cohort": cohort, "patients": len(group)}
    notes = []
    for name, counted, among in (
        ("coverage", answered, np.ones(len(group), dtype=bool)),
        ("error", missed | alarmed, answered),
        ("missed", missed, truth),
        ("false_alarm", alarmed, ~truth),
        ("error_unreferred", unreferred, np.ones(len(group), dtype=bool)),
    ):
        share = wilson(int(counted.sum()), int(among.sum()))
        row[name], row[f"{name}_k"], row[f"{name}_n"] = share.value, share.k, share.n
        row[f"{name}_ci_low"], row[f"{name}_ci_high"] = share.ci_low, share.ci_high
    if not answered.any():
        notes.append("everyone is referred: error not estimable")
    if truth.all() or not truth.any():
        notes.append("one label only")
    if (group["split"] == "development").any():
        notes.append("the rule was fitted on these patients")
    row["note"] = "; ".join(notes)
    return row
