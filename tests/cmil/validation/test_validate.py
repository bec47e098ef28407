"""All tables at once: what they hold, that they repeat, and what is refused."""

import math
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from cmil.validation import Questions, ValidationTables, validate_scores
from cohorts.errors import DataError, SettingsError
from cohorts.strata import DEVELOPMENT, POOLED

THRESHOLDS = {"youden": 0.5, "sensitivity 0.95": 0.2}
ASKED = Questions(prevalences=(0.1,), comparator="clinical", subgroups=("sex",), samples=200)


def validated(study: pd.DataFrame, seed: int = 1) -> ValidationTables:
    return validate_scores(study, THRESHOLDS, np.random.SeedSequence(seed), ASKED)


@pytest.fixture(scope="module")
def tables(study: pd.DataFrame) -> ValidationTables:
    return validated(study)


def test_every_estimate_has_its_interval_method_or_reason(tables: ValidationTables) -> None:
    for field in fields(tables):
        table = getattr(tables, field.name)
        assert len(table), field.name
        if "note" not in table:
            continue
        missing = table[table["ci_low"].isna()]
        assert (missing["note"] != "").all(), field.name
        known = table.dropna(subset=["ci_low"])
        value = known["difference"] if field.name == "comparisons" else known["value"]
        assert (known["ci_low"] <= value + 1e-12).all(), field.name
        assert (value <= known["ci_high"] + 1e-12).all(), field.name
        if "method" in table:
            assert (table["method"] != "").all(), field.name


def test_cohorts_are_those_of_the_performance_table(tables: ValidationTables) -> None:
    cohorts = [DEVELOPMENT, "Bern", "Graz", "Oslo", "Ulm", POOLED]
    for table in (tables.discrimination, tables.decisions, tables.calibration):
        assert table["cohort"].unique().tolist() == cohorts
    assert tables.centres["centre"].unique().tolist() == cohorts[1:-1]
    few = tables.discrimination[tables.discrimination["cohort"] == "Ulm"]
    assert few["value"].isna().all()
    comparisons = tables.comparisons.set_index(["cohort", "comparison"])
    assert len(comparisons) == 6 + 5
    assert (comparisons["p_holm"].dropna() >= comparisons["p"].dropna()).all()


def test_same_seed_same_tables(study: pd.DataFrame, tables: ValidationTables) -> None:
    seed = np.random.SeedSequence(1)
    seed.spawn(3)  # what else was drawn from it does not matter
    again = validate_scores(study, THRESHOLDS, seed, ASKED)
    other = validated(study, seed=2)
    for field in fields(tables):
        first, second = getattr(tables, field.name), getattr(again, field.name)
        pd.testing.assert_frame_equal(first, second)
    assert not tables.decision_curve["ci_low"].equals(other.decision_curve["ci_low"])


def test_order_of_patients_does_not_matter_to_what_is_estimated(
    study: pd.DataFrame, tables: ValidationTables
) -> None:
    shuffled = validated(study.sample(frac=1, random_state=3))
    assert shuffled.discrimination["value"].tolist() == pytest.approx(
        tables.discrimination["value"].tolist(), nan_ok=True
    )
    assert shuffled.heterogeneity["value"].tolist() == pytest.approx(
        tables.heterogeneity["value"].tolist(), nan_ok=True
    )


def test_centre_of_one_label_has_no_curve(study: pd.DataFrame) -> None:
    found = validated(study[(study["centre"] != "Ulm") | (study["label"] == 0)])
    assert "Ulm" not in set(found.roc["cohort"])
    of_ulm = found.discrimination[found.discrimination["cohort"] == "Ulm"]
    assert set(of_ulm["note"]) == {"one label only: not estimable"}
    assert len(found.centres[found.centres["centre"] == "Ulm"])


def test_one_split_alone_is_enough(study: pd.DataFrame) -> None:
    for split in ("development", "external"):
        found = validated(study[study["split"] == split])
        assert (len(found.centres) > 0) == (split == "external")
        assert len(found.discrimination)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("label", 2, "has no label 0 or 1"),
        ("score", 1.2, "has no score from 0 to 1"),
        ("score", np.nan, "has no score from 0 to 1"),
        ("patient_id", "P000", "occurs twice"),
        ("score_kind", "train", "its score is not of kind external"),
        ("clinical", -1.0, 'has no "clinical" from 0 to 1'),
    ],
)
def test_patients_that_do_not_serve_are_refused(
    study: pd.DataFrame, column: str, value: object, says: str
) -> None:
    wrong = study.astype({column: object})
    wrong.loc[150, column] = value
    if column not in ("patient_id", "score_kind"):
        wrong = wrong.astype({column: float})
    patient = wrong.loc[150, "patient_id"]
    with pytest.raises(DataError, match=f'patient "{patient}".* {says}'):
        validated(wrong)


def test_development_scores_of_training_folds_are_refused(study: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="only out-of-fold scores"):
        validated(study.assign(score_kind=study["score_kind"].replace("oof", "train")))


def test_missing_column_threshold_and_taken_name_are_refused(study: pd.DataFrame) -> None:
    seed = np.random.SeedSequence(1)
    with pytest.raises(DataError, match='no column "clinical"'):
        validate_scores(study.drop(columns="clinical"), THRESHOLDS, seed, ASKED)
    for thresholds in ({}, {"youden": np.nan}):
        with pytest.raises(SettingsError, match="locked thresholds"):
            validate_scores(study, thresholds, seed)
    with pytest.raises(SettingsError, match="the name is taken"):
        validate_scores(study.assign(all=1), THRESHOLDS, seed, Questions(comparator="all"))


def test_few_patients_are_compared_as_the_comparison_of_models_does(study: pd.DataFrame) -> None:
    of_ulm = study["centre"] == "Ulm"
    few = study.assign(label=study["label"].where(~of_ulm, np.arange(len(study)) % 2))
    # One for all: a model that tells a few patients apart perfectly is no proof by DeLong's.
    few = few.assign(
        score=few["score"].where(~of_ulm, 0.2 + 0.5 * few["label"] + np.arange(len(few)) / 1e4),
        clinical=few["clinical"].where(~of_ulm, 0.5),
    )
    table = validated(few).comparisons.set_index(["cohort", "comparison"])
    row = table.loc["Ulm", "model less clinical"]
    assert row["difference"] == 0.5
    assert row["p"] == pytest.approx(2 / math.comb(12, 6))
    assert row["method"] == "MOVER; swapped ranks"
    assert row["ci_low"] > 0
    assert table.loc["Bern", "model less clinical"]["method"] == "DeLong, paired"
