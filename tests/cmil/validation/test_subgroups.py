"""Levels of a variable, and the tests that hold them against each other."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, norm

from cmil.validation.bootstrap import patient_weights
from cmil.validation.decisions import wilson
from cmil.validation.discrimination import auc_delong
from cmil.validation.subgroups import auc_interaction, share_interaction, subgroups
from cohorts.errors import DataError


def weights_of(study: pd.DataFrame) -> np.ndarray:
    return patient_weights(study[["label", "centre"]], 200, np.random.default_rng(1))


def test_two_levels_are_held_against_each_other_as_by_delong(study: pd.DataFrame) -> None:
    parts = [group for _, group in study.groupby("sex")]
    found = auc_interaction([g["score"] for g in parts], [g["label"] for g in parts])
    one, other = (auc_delong(g["score"], g["label"]) for g in parts)
    z = (one.value - other.value) / math.sqrt(one.variance + other.variance)
    assert found == pytest.approx(2 * norm.sf(abs(z)))


def test_shares_are_held_against_each_other_as_by_pearson() -> None:
    table = [[12, 20, 9], [8, 5, 11]]
    shares = [wilson(k, k + rest) for k, rest in zip(*table, strict=True)]
    assert share_interaction(shares) == pytest.approx(
        chi2_contingency(table, correction=False).pvalue
    )
    assert math.isnan(share_interaction([wilson(3, 3), wilson(4, 4)]))
    assert math.isnan(share_interaction([wilson(3, 5), wilson(0, 0)]))


def test_table_of_levels(study: pd.DataFrame) -> None:
    some = study.assign(sex=study["sex"].where(study.index > 2))
    table = subgroups(some, ["sex", "centre"], {"locked": 0.5}, weights_of(study))
    sex = table[table["variable"] == "sex"]
    assert len(sex) == 2 * 3
    assert sex.loc[sex["measure"] == "auc", "patients"].sum() == len(study) - 3
    assert sex.groupby("measure")["p_interaction"].nunique().eq(1).all()
    ulm = table[(table["level"] == "Ulm") & (table["measure"] == "auc")].iloc[0]
    assert math.isnan(ulm["value"])
    assert "3 patients of a label" in ulm["note"]


def test_columns_that_are_no_subgroups_are_refused(study: pd.DataFrame) -> None:
    with pytest.raises(DataError, match='no column "stage"'):
        subgroups(study, ["stage"], {}, weights_of(study))
    with pytest.raises(DataError, match='"score" has 322 levels'):
        subgroups(study, ["score"], {}, weights_of(study))
