"""Added value of a score over a clinical model."""

import numpy as np
import pandas as pd
import pytest
from lifelines.datasets import load_rossi

from cohorts.errors import DataError
from survival.added_value import added_value


def test_likelihood_ratio_and_optimism_on_rossi() -> None:
    """Chi2 of prio beside the six others is what coxph's log likelihoods give.

    `anova(coxph(. ~ fin + age + race + wexp + mar + paro), coxph(. ~ . + prio))`; the fits equal
    R's (test_weighted_cox), and lifelines gives the same difference.
    """
    from lifelines import CoxPHFitter

    rossi = load_rossi()
    clinical = ["fin", "age", "race", "wexp", "mar", "paro"]
    table = [*clinical, "week", "arrest"]
    with_prio, without = (
        CoxPHFitter().fit(rossi[columns], "week", "arrest").log_likelihood_
        for columns in ([*table, "prio"], table)
    )
    found = added_value(
        rossi[clinical], rossi["prio"], rossi["week"], rossi["arrest"], np.random.default_rng(0), 60
    )
    assert found.chi2 == pytest.approx(2 * (with_prio - without), abs=1e-5)
    assert found.p == pytest.approx(0.0026, abs=5e-4)
    corrected = found.corrected
    assert corrected.loc["with score", "apparent"] == pytest.approx(0.6403, abs=1e-4)
    # Seven parameters and 114 events: some of the apparent C is optimism.
    assert corrected.loc["with score", "optimism"] > 0.01
    assert corrected.loc["clinical", "optimism"] > 0.005
    low, high = corrected.loc["with score", ["ci_low", "ci_high"]]
    assert low < corrected.loc["with score", "corrected"] < high
    assert found.failed == 0


def test_a_score_of_noise_adds_nothing_once_optimism_is_removed() -> None:
    rng = np.random.default_rng(1)
    gains, ps = [], []
    for _ in range(12):
        clinical = pd.DataFrame({"stage": rng.normal(size=100)})
        time = rng.exponential(np.exp(-clinical["stage"]))
        left = rng.exponential(1.5, 100)
        found = added_value(
            clinical, rng.normal(size=100), np.minimum(time, left), time <= left, rng, 30
        )
        gains.append(found.corrected.loc["difference", "corrected"])
        ps.append(found.p)
    assert abs(np.mean(gains)) < 0.008
    assert 0.2 < np.mean(ps) < 0.8


def test_same_seed_same_result() -> None:
    rossi = load_rossi()[:200]
    runs = [
        added_value(
            rossi[["age"]],
            rossi["prio"],
            rossi["week"],
            rossi["arrest"],
            np.random.default_rng(5),
            20,
        ).corrected
        for _ in range(2)
    ]
    pd.testing.assert_frame_equal(*runs)


def test_collinear_covariates_are_noted_and_constant_ones_refused() -> None:
    rossi = load_rossi()
    arguments = (rossi["prio"], rossi["week"], rossi["arrest"], np.random.default_rng(0), 5)
    doubled = rossi[["age"]].assign(twice=2 * rossi["age"])
    found = added_value(doubled, *arguments)
    assert np.isnan(found.chi2)
    assert found.apparent is None
    assert "collinear" in found.note
    with pytest.raises(DataError, match='"site" is the same for all 432 patients'):
        added_value(rossi[["age"]].assign(site=1), *arguments)
    with pytest.raises(DataError, match="no covariate"):
        added_value(rossi[[]], *arguments)
    with pytest.raises(DataError, match="age: missing"):
        added_value(rossi[["age"]].astype(float).mask(rossi["age"] == 27), *arguments)


def test_samples_without_a_fit_are_counted() -> None:
    """A covariate that one patient has is constant in a third of samples."""
    rossi = load_rossi()[:60]
    arguments = (rossi["prio"], rossi["week"], rossi["arrest"])
    with_event, without = (
        added_value(
            pd.DataFrame({"age": rossi["age"], "rare": (rossi.index == patient).astype(int)}),
            *arguments,
            np.random.default_rng(0),
            30,
        )
        for patient in (0, 18)
    )
    assert with_event.failed >= 5
    assert with_event.note == f"{with_event.failed} of 30 bootstrap samples had no fit"
    # Patient 18 is censored: the hazard ratio of what only this patient has is 0.
    assert without.note.startswith("not estimable: the likelihood has no maximum")
