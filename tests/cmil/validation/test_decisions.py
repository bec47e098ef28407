"""Decisions against counts by hand, and against independent implementations."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from cmil.validation.decisions import (
    clopper_pearson,
    decision_table,
    likelihood_ratio,
    sensitivity,
    specificity,
    wilson,
)
from cohorts.errors import SettingsError


@pytest.mark.parametrize("n", range(1, 31))
def test_wilson_equals_scipy(n: int) -> None:
    for k in range(n + 1):
        proportion = wilson(k, n)
        interval = binomtest(k, n).proportion_ci(confidence_level=0.95, method="wilson")
        assert (proportion.k, proportion.n, proportion.value) == (k, n, k / n)
        assert proportion.ci_low == pytest.approx(interval.low, abs=1e-12)
        assert proportion.ci_high == pytest.approx(interval.high, abs=1e-12)
        assert 0 <= proportion.ci_low <= proportion.value <= proportion.ci_high <= 1


def test_wilson_of_nobody_is_unknown() -> None:
    nobody = wilson(0, 0)
    assert (nobody.k, nobody.n) == (0, 0)
    assert all(math.isnan(x) for x in (nobody.value, nobody.ci_low, nobody.ci_high))


def test_sensitivity_and_specificity_count_their_own_class() -> None:
    decisions, labels = [1, 1, 0, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0]
    assert sensitivity(decisions, labels) == wilson(2, 3)
    assert specificity(decisions, labels) == wilson(3, 4)


@given(st.integers(0, 40), st.integers(1, 40))
def test_clopper_pearson_equals_scipy(k: int, n: int) -> None:
    k = min(k, n)
    interval = binomtest(k, n).proportion_ci(confidence_level=0.95, method="exact")
    found = clopper_pearson(k, n)
    assert (found.ci_low, found.ci_high) == pytest.approx((interval.low, interval.high), abs=1e-12)


def patients(tp: int, fn: int, fp: int, tn: int) -> tuple[np.ndarray, np.ndarray]:
    scores = np.repeat([0.9, 0.1, 0.9, 0.1], [tp, fn, fp, tn])
    return scores, np.repeat([1, 1, 0, 0], [tp, fn, fp, tn])


def row(table: pd.DataFrame, measure: str) -> pd.Series:
    """The row of a measure at the patients' own prevalence."""
    return table[table["prevalence"].isna()].set_index("measure").loc[measure]


def test_likelihood_ratio_has_the_interval_of_its_log() -> None:
    """Simel et al. 1991, eq. 6, worked out by hand: 35 of 52 against 33 of 176."""
    found = likelihood_ratio(35, 52, 33, 176)
    rounded = [round(limit, 2) for limit in (found.value, found.ci_low, found.ci_high)]
    assert rounded == [3.59, 2.50, 5.15]
    spread = math.sqrt(1 / 35 - 1 / 52 + 1 / 33 - 1 / 176)
    assert math.log(found.ci_high / found.value) == pytest.approx(1.959964 * spread, rel=1e-6)
    assert found.ci_low * found.ci_high == pytest.approx(found.value**2)


def test_table_counts_what_a_threshold_does() -> None:
    table = decision_table(*patients(18, 2, 6, 34), {"locked": 0.5})
    expected = {
        "sensitivity": (18, 20),
        "specificity": (34, 40),
        "ppv": (18, 24),
        "npv": (34, 36),
        "accuracy": (52, 60),
    }
    for measure, (k, n) in expected.items():
        found, own = row(table, measure), wilson(k, n)
        assert (found["k"], found["n"]) == (k, n)
        assert found["ci_low"] == pytest.approx(own.ci_low)
    assert row(table, "lr_positive")["value"] == pytest.approx(0.9 / 0.15)
    assert row(table, "lr_negative")["value"] == pytest.approx(0.1 / 0.85)
    assert set(table["threshold_name"]) == {"locked"}


def test_predictive_values_follow_bayes_at_the_stated_prevalence() -> None:
    """At the patients' own prevalence they are the plain ones; the interval is Mercaldo's logit."""
    table = decision_table(*patients(18, 2, 6, 34), {"locked": 0.5}, [1 / 3, 0.1])
    stated = table[table["prevalence"] == 1 / 3].set_index("measure")
    assert stated.loc["ppv", "value"] == pytest.approx(18 / 24)
    assert stated.loc["npv", "value"] == pytest.approx(34 / 36)
    # logit PPV = log(0.75 / 0.25); variance 0.1 / (0.9 * 20) + 0.85 / (0.15 * 40)
    half = 1.959964 * math.sqrt(0.1 / 18 + 0.85 / 6)
    assert stated.loc["ppv", "ci_low"] == pytest.approx(1 / (1 + math.exp(half) / 3), abs=1e-6)
    rare = table[table["prevalence"] == 0.1].set_index("measure")
    assert rare.loc["ppv", "value"] == pytest.approx(0.09 / (0.09 + 0.135))


def test_cells_that_are_empty_have_a_reason() -> None:
    perfect = decision_table(*patients(10, 0, 0, 10), {"locked": 0.5}, [0.2])
    assert "not finite" in row(perfect, "lr_positive")["note"]
    assert row(perfect, "lr_negative")["value"] == 0
    stated = perfect[perfect["prevalence"] == 0.2].set_index("measure")
    assert stated.loc["ppv", "value"] == 1
    assert 0.2 < stated.loc["ppv", "ci_low"] < 1
    assert stated.loc["ppv", "method"].startswith("adjusted")
    nobody = decision_table(*patients(0, 10, 0, 10), {"locked": 0.5}, [0.2])
    assert math.isnan(row(nobody, "ppv")["value"])
    assert row(nobody, "ppv")["note"] == "nobody called positive"
    one_label = decision_table(*patients(5, 5, 0, 0), {"locked": 0.5}, [0.2])
    assert one_label.set_index("measure").loc["specificity", "note"] == (
        "no patient without the outcome"
    )
    assert "one label" in row(one_label, "lr_positive")["note"]


def test_prevalence_out_of_range_is_refused() -> None:
    with pytest.raises(SettingsError, match="prevalence 1"):
        decision_table([0.1], [1], {"locked": 0.5}, [1.0])
