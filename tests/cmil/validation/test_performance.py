"""The performance table against numbers counted by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from cmil.validation import Questions, cohorts_of, performance, roc_curves, validate_scores
from cmil.validation.discrimination import auc_delong, logit_interval, roc_curve
from cohorts.errors import DataError
from cohorts.strata import DEVELOPMENT, POOLED

SEED = np.random.SeedSequence(7)
# centre, score, label, decision
DEVELOPED = [("Lund", 0.9, 1, 1), ("Lund", 0.4, 1, 0), ("Oslo", 0.6, 0, 1), ("Oslo", 0.1, 0, 0)]
BERN = [
    ("Bern", 0.8, 1, 1),
    ("Bern", 0.7, 1, 1),
    ("Bern", 0.3, 1, 0),
    ("Bern", 0.5, 0, 1),
    ("Bern", 0.2, 0, 0),
]
ULM = [("Ulm", 0.7, 1, 1), ("Ulm", 0.4, 1, 0)]


def table(external: list[tuple[str, float, int, int]]) -> pd.DataFrame:
    predictions = pd.DataFrame(
        [*DEVELOPED, *external], columns=["centre", "score", "label", "decision"]
    )
    split = ["development"] * len(DEVELOPED) + ["external"] * len(external)
    kind = ["oof"] * len(DEVELOPED) + ["external"] * len(external)
    ids = [f"P{i}" for i in range(len(split))]
    return predictions.assign(patient_id=ids, split=split, score_kind=kind)


def test_numbers_counted_by_hand() -> None:
    rows = performance(table(BERN), SEED).set_index("cohort")
    assert list(rows.index) == [DEVELOPMENT, "Bern"]
    bern = rows.loc["Bern"]
    assert (bern["patients"], bern["positives"]) == (5, 3)
    assert bern[["auc", "auc_ci_low", "auc_ci_high"]].isna().all()
    assert bern["note"] == "AUC: 2 patients of a label, fewer than 5: not estimable"
    assert (bern["sensitivity_k"], bern["sensitivity_n"]) == (2, 3)
    assert (bern["specificity_k"], bern["specificity_n"]) == (1, 2)
    assert bern["sensitivity"] == pytest.approx(2 / 3)
    # Wilson, R: prop.test(2, 3, correct = FALSE)
    assert bern["sensitivity_ci_low"] == pytest.approx(0.2076600, abs=1e-6)
    assert bern["sensitivity_ci_high"] == pytest.approx(0.9385081, abs=1e-6)


def test_pool_is_shown_where_there_is_more_than_one_centre() -> None:
    assert POOLED not in [name for name, _ in cohorts_of(table(BERN))]
    groups = dict(cohorts_of(table(BERN + ULM)))
    assert list(groups) == [DEVELOPMENT, "Bern", "Ulm", POOLED]
    assert len(groups[POOLED]) == 7


def test_centre_of_one_label_says_why_it_has_no_auc() -> None:
    ulm = performance(table(BERN + ULM), SEED).set_index("cohort").loc["Ulm"]
    assert ulm[["auc", "auc_ci_low", "auc_ci_high"]].isna().all()
    assert ulm["note"] == "AUC: one label only: not estimable"
    assert (ulm["sensitivity_k"], ulm["sensitivity_n"]) == (1, 2)
    assert ulm["specificity_n"] == 0
    assert math.isnan(ulm["specificity"])


def test_auc_is_that_of_the_validation_whatever_the_order_of_patients() -> None:
    """One AUC has one interval: also of few patients, where it is a bootstrap's."""
    random = np.random.default_rng(3)
    sizes = {"Bern": (12, 14), "Ulm": (6, 30)}
    patients = [
        (centre, random.uniform(0.3 * label, 0.7 + 0.3 * label), label, label)
        for centre, counts in sizes.items()
        for label, count in zip((1, 0), counts, strict=True)
        for _ in range(count)
    ]
    external = table(patients).query("split == 'external'")
    rows = performance(external.sample(frac=1, random_state=1), SEED).set_index("cohort")
    tables = validate_scores(external, {"locked": 0.5}, SEED, Questions(samples=20))
    of_auc = tables.discrimination.query("measure == 'auc'").set_index("cohort")
    for name, there in (("auc", "value"), ("auc_ci_low", "ci_low"), ("auc_ci_high", "ci_high")):
        assert rows[name].tolist() == of_auc[there].tolist()
    assert rows["auc_method"].tolist() == of_auc["method"].tolist()
    assert rows.loc["Ulm", "auc_method"].startswith("bootstrap standard error")
    bern = external[external["centre"] == "Bern"]
    auc = auc_delong(bern["score"], bern["label"])
    limits = logit_interval(auc.value, auc.variance)
    assert rows.loc["Bern", "auc_method"] == "DeLong, logit scale"
    assert rows.loc["Bern", ["auc_ci_low", "auc_ci_high"]].tolist() == pytest.approx(limits)


def test_no_development_patient_is_needed() -> None:
    external = table(BERN).query("split == 'external'")
    assert performance(external, SEED)["cohort"].tolist() == ["Bern"]


def test_development_score_that_is_not_out_of_fold_is_refused() -> None:
    predictions = table(BERN)
    predictions.loc[1, "score_kind"] = "external"
    with pytest.raises(DataError, match='"P1" has a score of kind "external"'):
        performance(predictions, SEED)


@pytest.mark.parametrize("column", ["label", "decision"])
@pytest.mark.parametrize("value", [math.nan, 2])
def test_missing_label_or_decision_is_refused(column: str, value: float) -> None:
    predictions = table(BERN).astype({column: float})
    predictions.loc[6, column] = value
    with pytest.raises(DataError, match=f'"P6" has no {column} 0 or 1'):
        performance(predictions, SEED)


def test_roc_curves_of_the_cohorts_that_have_both_labels() -> None:
    predictions = table(BERN + ULM)
    curves = roc_curves(predictions)
    assert list(curves) == [DEVELOPMENT, "Bern", POOLED]
    bern = predictions[predictions["centre"] == "Bern"]
    pd.testing.assert_frame_equal(curves["Bern"], roc_curve(bern["score"], bern["label"]))
