"""Model and readers, cohort by cohort."""

import numpy as np
import pandas as pd
import pytest

from cmil.readers.comparison import compare_with_readers
from cmil.validation import cohort_auc, cohort_auc_difference
from cmil.validation.auc_difference import auc_difference
from cohorts.errors import DataError
from cohorts.strata import POOLED

SEED = np.random.SeedSequence(0)


@pytest.fixture
def predictions() -> pd.DataFrame:
    """Twelve patients of Bern, both labels, and three of Ulm, one of them positive."""
    label = np.array([n % 2 for n in range(12)] + [1, 0, 0])
    score = np.random.default_rng(2).uniform(0, 0.7, 15).round(3) + 0.2 * label
    return pd.DataFrame(
        {
            "patient_id": [f"P{n:02d}" for n in range(15)],
            "centre": ["Bern"] * 12 + ["Ulm"] * 3,
            "split": "external",
            "score_kind": "external",
            "score": score,
            "decision": (score >= 0.5).astype(int),
            "label": label,
        }
    )


def ratings_of(predictions: pd.DataFrame, **readers: np.ndarray) -> pd.DataFrame:
    return pd.concat(
        pd.DataFrame({"reader_id": name, "patient_id": predictions["patient_id"], "rating": values})
        for name, values in readers.items()
    ).assign(decision=lambda rows: (rows["rating"] > 0.5).astype(float))


def test_cohorts_that_were_read_are_compared(predictions: pd.DataFrame) -> None:
    drawn = np.random.default_rng(4).uniform(0, 1, (2, 15))
    ratings = ratings_of(predictions, A=drawn[0], B=drawn[1])
    found = compare_with_readers(predictions, ratings, SEED)
    assert list(found.points["cohort"].unique()) == ["Bern", "Ulm", POOLED]
    auc = found.auc.set_index(["cohort", "reader"])
    bern = predictions.iloc[:12]
    read = bern.assign(score=drawn[0][:12])
    aucs = cohort_auc(bern, SEED), cohort_auc(read, SEED)
    own = cohort_auc_difference(aucs, (bern["score"], read["score"]), bern["label"], SEED)
    assert auc.loc[("Bern", "A"), "difference"] == pytest.approx(own.value)
    assert auc.loc[("Bern", "A"), "ci_low"] == pytest.approx(own.ci_low)
    assert "swapped" in auc.loc[("Bern", "A"), "method"]  # six patients of a label
    assert auc.loc[("Bern", "mean of readers"), "note"].startswith("6 patients of a label")
    mean = auc.loc[("Bern", "mean of readers")]
    assert mean["reader_value"] == pytest.approx(
        auc.loc[[("Bern", "A"), ("Bern", "B")], "reader_value"].mean()
    )
    assert auc.loc["Ulm", "difference"].isna().all()
    assert auc.loc["Ulm", "note"].str.contains("not estimable").all()
    only = compare_with_readers(predictions, ratings[ratings["patient_id"] < "P12"], SEED)
    assert list(only.agreement["cohort"].unique()) == ["Bern"]


def test_enough_patients_are_compared_by_delong(predictions: pd.DataFrame) -> None:
    many = pd.concat(
        [predictions.iloc[:12].assign(patient_id=lambda t, n=n: t["patient_id"] + n) for n in "ab"],
        ignore_index=True,
    )
    many["score"] += np.random.default_rng(6).normal(0, 0.05, 24).clip(-0.1, 0.1)
    drawn = np.random.default_rng(5).uniform(0, 1, 24)
    found = compare_with_readers(many, ratings_of(many, A=drawn), SEED).auc.iloc[0]
    own = auc_difference(many["score"], drawn, many["label"])
    assert (found["ci_low"], found["p"]) == pytest.approx((own.ci_low, own.p))
    assert found["method"] == "DeLong, paired"


def test_only_what_was_said_is_compared(predictions: pd.DataFrame) -> None:
    ratings = ratings_of(predictions, A=predictions["score"].to_numpy())
    found = compare_with_readers(predictions, ratings.drop(columns="rating"), SEED)
    assert found.auc is None and found.differences is not None
    found = compare_with_readers(predictions, ratings.drop(columns="decision"), SEED)
    assert found.points is None and list(found.auc["reader"].unique()) == ["A"]
    assert (found.auc["difference"].dropna() == 0).all()


def test_readers_who_left_out_somebody_are_refused(predictions: pd.DataFrame) -> None:
    drawn = np.random.default_rng(4).uniform(0, 1, (2, 15))
    ratings = ratings_of(predictions, A=drawn[0], B=drawn[1])
    with pytest.raises(DataError, match='reader "A" has no decision of patient "P00"'):
        compare_with_readers(predictions, ratings.iloc[1:], SEED)
    with pytest.raises(DataError, match='reader "A" has read patient "P14", who has no score'):
        compare_with_readers(predictions.iloc[:-1], ratings, SEED)
