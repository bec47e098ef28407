"""Hazard ratios against R's coxph, and what is said where there is none."""

import numpy as np
import pandas as pd
import pytest
from lifelines.datasets import load_lung, load_rossi

from survival import hazard_ratio
from survival.cox import cox_regression

# R's coxph, Efron; CamDavidsonPilon/lifelines lifelines/tests/test_estimation.py.
R_ROSSI = {
    "fin": (-0.3794222, 0.19138),
    "age": (-0.0574377, 0.022),
    "race": (0.3138998, 0.30799),
    "wexp": (-0.1497957, 0.21222),
    "mar": (-0.4337039, 0.38187),
    "paro": (-0.0848711, 0.19576),
    "prio": (0.0914971, 0.02865),
}
# therneau/survival tests/cancer.Rout.save: coxph(Surv(time, status) ~ ... + strata(inst), lung);
# coefficient, hazard ratio, lower and upper 95 % limit, p.
R_LUNG = {
    "ph.ecog": (0.7299987, 2.0751, 1.2249, 3.5153, 0.00664),
    "ph.karno": (0.0130512, 1.0131, 0.9862, 1.0408, 0.34204),
    "pat.karno": (-0.0140955, 0.9860, 0.9681, 1.0043, 0.13242),
    "wt.loss": (-0.0148821, 0.9852, 0.9690, 1.0017, 0.07931),
    "sex": (-0.6612534, 0.5162, 0.3263, 0.8166, 0.00471),
    "age": (0.0050920, 1.0051, 0.9784, 1.0325, 0.71071),
    "meal.cal": (-0.0002398, 0.9998, 0.9992, 1.0004, 0.42701),
}


def term_first(table: pd.DataFrame, term: str, terms: dict[str, tuple[float, ...]]) -> pd.DataFrame:
    return table[[term, *(other for other in terms if other != term)]]


@pytest.mark.parametrize("term", R_ROSSI)
def test_rossi_equals_r(term: str) -> None:
    rossi = load_rossi()
    ratio = hazard_ratio(rossi["week"], rossi["arrest"], term_first(rossi, term, R_ROSSI))
    coefficient, error = R_ROSSI[term]
    assert np.log(ratio.hr) == pytest.approx(coefficient, abs=1e-6)
    half_width = np.log(ratio.ci_high / ratio.ci_low) / 2
    assert half_width / 1.959963985 == pytest.approx(error, abs=6e-6)
    assert (ratio.n, ratio.events, ratio.note) == (432, 114, "")


@pytest.mark.parametrize("term", R_LUNG)
def test_stratified_lung_equals_r(term: str) -> None:
    lung = load_lung().dropna()
    ratio = hazard_ratio(
        lung["time"], lung["status"], term_first(lung, term, R_LUNG), strata=lung["inst"]
    )
    coefficient, *expected, p = R_LUNG[term]
    assert (ratio.n, ratio.events) == (167, 120)
    assert np.log(ratio.hr) == pytest.approx(coefficient, abs=6e-8)
    assert (ratio.hr, ratio.ci_low, ratio.ci_high) == pytest.approx(expected, abs=6e-5)
    assert ratio.p == pytest.approx(p, abs=6e-6)


@pytest.mark.shared
def test_ovarian_equals_r(reference) -> None:
    """reference_values.json, cox_ovarian: coefficient, standard error, p."""
    ovarian = reference("Rsurvival_ovarian.csv")
    ratio = hazard_ratio(ovarian["futime"], ovarian["fustat"], ovarian[["age"]])
    assert np.log(ratio.hr) == pytest.approx(0.16162, abs=6e-6)
    assert np.log(ratio.hr / ratio.ci_low) / 1.959963985 == pytest.approx(0.04974, abs=6e-6)
    assert ratio.p == pytest.approx(0.00116, abs=6e-6)


@pytest.mark.parametrize(("unit", "origin"), [(1e-3, 0), (365.25, -20), (1e4, 1e3)])
def test_unit_of_a_covariate_only_rescales_its_coefficient(unit: float, origin: float) -> None:
    rossi = load_rossi()
    terms = rossi[["age", "prio"]]
    other = terms.assign(age=terms["age"] * unit + origin)
    plain = hazard_ratio(rossi["week"], rossi["arrest"], terms)
    scaled = hazard_ratio(rossi["week"], rossi["arrest"], other)
    assert np.log(scaled.hr) * unit == pytest.approx(np.log(plain.hr), rel=1e-6)
    assert scaled.p == pytest.approx(plain.p, rel=1e-6)


def test_few_events_per_parameter_are_noted() -> None:
    rossi = load_rossi().sort_values("week").iloc[:18]
    ratio = hazard_ratio(rossi["week"], rossi["arrest"], rossi[["age", "prio"]])
    assert ratio.events_per_parameter == 9
    assert np.isfinite(ratio.hr)
    assert ratio.note == "9.0 events per parameter, fewer than 10"


def survivors(n: int = 40) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    random = np.random.default_rng(3)
    return random.exponential(10, n) + 0.1, (random.random(n) < 0.6).astype(int), random


def not_estimable(time, event, covariates: pd.DataFrame) -> str:
    ratio = hazard_ratio(time, event, covariates)
    assert np.isnan([ratio.hr, ratio.ci_low, ratio.ci_high, ratio.p]).all()
    assert "\n" not in ratio.note
    return ratio.note.removeprefix("not estimable: ")


def test_group_without_event_has_firths_hazard_ratio() -> None:
    """Where lifelines says coefficient 20.7 with standard error 2830, without an error."""
    time, event, _ = survivors()
    ratio = hazard_ratio(time, event, pd.DataFrame({"high score": event}))
    assert 1 < ratio.ci_low < ratio.hr < ratio.ci_high < np.inf
    assert ratio.p < 1e-4
    assert ratio.note == (
        'the likelihood has no maximum in "high score" (separation): '
        "Firth's penalised likelihood with profile interval"
    )


def test_no_event_is_not_estimable() -> None:
    time, event, random = survivors()
    score = pd.DataFrame({"score": random.random(len(time))})
    assert not_estimable(time, 0 * event, score) == "no event"


def test_same_value_for_all_is_not_estimable() -> None:
    time, event, _ = survivors()
    constant = pd.DataFrame({"age": np.full(len(time), 3.0)})
    assert not_estimable(time, event, constant) == '"age" is the same for all 40 patients'


def test_too_few_events_are_not_estimable() -> None:
    time, event, random = survivors(8)
    event[:] = [1, 1, 1, 1, 0, 0, 0, 0]
    score = pd.DataFrame({"score": random.random(8)})
    assert not_estimable(time, event, score) == "4.0 events per parameter, fewer than 5"


@pytest.mark.parametrize("direction", [1, -1])
def test_score_that_orders_every_event_has_firths_hazard_ratio(direction: int) -> None:
    """The likelihood rises for ever where each patient with the event has the largest score."""
    time = np.arange(1.0, 31)
    score = pd.DataFrame({"score": -direction * time})
    ratio = hazard_ratio(time, np.ones(30, dtype=int), score)
    assert "separation" in ratio.note
    assert (np.log([ratio.hr, ratio.ci_low]) * direction > 0).all()
    assert ratio.p < 1e-6


def test_collinear_covariates_are_not_estimable() -> None:
    time, event, random = survivors()
    age = random.normal(3, 1, len(time))
    twice = pd.DataFrame({"score": random.random(len(time)), "age": age, "months": 12 * age})
    assert "collinearity" in not_estimable(time, event, twice)


def test_patients_without_a_covariate_are_left_out_and_counted() -> None:
    rossi = load_rossi()
    covariates = rossi[["age", "prio"]].astype(float)
    covariates.loc[[3, 7], "age"] = np.nan
    found = cox_regression(rossi["week"], rossi["arrest"], covariates, strata=rossi["fin"])
    kept = rossi.drop(index=[3, 7])
    alone = cox_regression(kept["week"], kept["arrest"], kept[["age", "prio"]], strata=kept["fin"])
    pd.testing.assert_frame_equal(found.table, alone.table)
    assert found.note == "2 patients without all covariates left out"
    assert (found.n, alone.note) == (430, "")


def test_few_clusters_are_noted_and_one_has_no_robust_error() -> None:
    rossi = load_rossi()
    few = cox_regression(
        rossi["week"], rossi["arrest"], rossi[["age", "prio"]], cluster=rossi.index % 7
    )
    assert few.note == "robust errors from 7 clusters, fewer than 20, are too small"
    assert few.table["method"][0] == "Cox, robust Wald, 7 clusters"
    one = cox_regression(rossi["week"], rossi["arrest"], rossi[["age"]], cluster=0 * rossi["age"])
    assert one.note == "not estimable: one cluster only; robust errors need several"
    assert one.table.loc[0, ["hr", "ci_low", "p"]].isna().all()
