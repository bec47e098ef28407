"""Centres one by one and together, on the scale of each measure."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from cmil.validation.discrimination import auc_delong, logit_interval
from cmil.validation.heterogeneity import (
    heterogeneity,
    log_observed_over_expected,
    logit_auc,
    logit_proportion,
)
from cohorts.random_effects import pool

THRESHOLDS = {"locked": 0.5}


def test_auc_is_pooled_on_the_logit_scale(study: pd.DataFrame) -> None:
    external = study[study["split"] == "external"]
    found = heterogeneity(external, THRESHOLDS)
    centres = found.centres[found.centres["measure"] == "auc"].set_index("centre")
    assert centres.loc["Ulm", "note"] == "3 patients of a label, fewer than 5: not estimable"
    assert centres.loc["Ulm", "weight"] == 0
    logits, variances = [], []
    for name in ("Bern", "Graz", "Oslo"):
        group = external[external["centre"] == name]
        auc = auc_delong(group["score"], group["label"])
        limits = logit_interval(auc.value, auc.variance)
        shown = centres.loc[name, ["ci_low", "ci_high"]].tolist()
        assert shown == pytest.approx(limits)
        logits.append(math.log(auc.value / (1 - auc.value)))
        variances.append(auc.variance / (auc.value * (1 - auc.value)) ** 2)
    pooled = found.pooled.set_index("measure").loc["auc"]
    expected = pool(logits, variances)
    assert pooled["value"] == pytest.approx(expit(expected.estimate))
    assert pooled["prediction_low"] == pytest.approx(expit(expected.prediction_low))
    assert (pooled["tau2"], pooled["i2"]) == pytest.approx((expected.tau2, expected.i2))
    assert "1 of 4 centres not estimable" in pooled["note"]
    without = found.leave_one_out.query("measure == 'auc'").set_index("left_out")
    assert without.loc["Bern", "value"] == pytest.approx(
        expit(pool(logits[1:], variances[1:]).estimate)
    )
    assert set(found.pooled["measure"]) == {"auc", "o_e", "slope", "sensitivity", "specificity"}


def test_numbers_at_the_edge_of_their_range() -> None:
    """`escalc("PLO", xi = 0, ni = 9)` of metafor adds a half: log(0.5 / 9.5), 1/0.5 + 1/9.5."""
    empty = logit_proportion(0, 9)
    assert (empty.value, empty.variance) == pytest.approx((math.log(0.5 / 9.5), 2 + 1 / 9.5))
    assert logit_proportion(3, 9).value == pytest.approx(math.log(0.5))
    assert math.isnan(logit_proportion(0, 0).value)
    perfect = logit_auc(np.arange(12), np.repeat([0, 1], 6))
    assert expit(perfect.value) == pytest.approx(36.5 / 37)
    assert perfect.variance > 0
    assert "half a pair" in perfect.note
    assert math.isnan(log_observed_over_expected([0.1, 0.2], [0, 0]).value)
    all_of_them = log_observed_over_expected([0.5, 0.5], [1, 1])
    assert math.isnan(all_of_them.variance)
    some = log_observed_over_expected([0.5, 0.5, 0.1], [1, 0, 0])
    assert some.value == pytest.approx(math.log(1 / 1.1))


def test_no_external_centre_leaves_the_tables_empty(study: pd.DataFrame) -> None:
    found = heterogeneity(study[:0], THRESHOLDS)
    assert len(found.centres) == 0
    assert found.pooled["value"].isna().all()
    assert len(found.leave_one_out) == 0
