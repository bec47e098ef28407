"""Restricted cubic splines against R's rms."""

import numpy as np
import pandas as pd
import pytest
from lifelines.datasets import load_lung, load_rossi

from survival.cox_model import fit_cox
from survival.spline import spline_effect
from survival.spline_basis import knots_at_quantiles, restricted_cubic_spline


def test_spline_of_age_in_lung_equals_rms() -> None:
    """rms::cph(Surv(time, status) ~ rcs(age, 3) + meal.cal, lung): stats.stackexchange 643908."""
    lung = load_lung()
    knots = knots_at_quantiles(lung["age"].to_numpy(dtype=float), 3)
    assert knots.tolist() == [50, 63, 74]
    lung = lung.dropna(subset=["meal.cal"])
    terms = pd.DataFrame(
        restricted_cubic_spline(lung["age"].to_numpy(dtype=float), knots), columns=["age", "age'"]
    ).assign(calories=lung["meal.cal"].to_numpy())
    model = fit_cox(lung["time"], lung["status"], terms)
    assert model.coefficients == pytest.approx([0.0077, 0.0149, 0.0], abs=6e-5)
    errors = np.sqrt(np.diag(model.covariance))
    assert errors == pytest.approx([0.0218, 0.0257, 0.0002], abs=6e-5)
    assert model.likelihood_ratio == pytest.approx((4.00, 3, 0.2611), abs=5e-3)
    assert model.score_test == pytest.approx((4.16, 3, 0.2449), abs=5e-3)


def test_straight_effect_is_found_straight_and_bent_one_bent() -> None:
    random = np.random.default_rng(5)
    score = random.random(600)
    for effect, bent in ((2 * score, False), (20 * (score - 0.5) ** 2, True)):
        time = random.exponential(np.exp(-effect))
        found = spline_effect(time, np.ones(600), score)
        assert (found.non_linearity.p < 0.01) is bent
        assert found.association.p < 1e-6
        assert found.note == ""
        at_median = np.interp(found.reference, found.curve["score"], found.curve["hr"])
        assert at_median == pytest.approx(1, abs=1e-3)
        inside = (found.curve["ci_low"] <= found.curve["hr"]) & (
            found.curve["hr"] <= found.curve["ci_high"]
        )
        assert inside.all()


def test_adjusted_curve_has_the_covariates_in_its_model() -> None:
    rossi = load_rossi()
    plain, adjusted = (
        spline_effect(rossi["week"], rossi["arrest"], rossi["age"], covariates, n_knots=3)
        for covariates in (None, rossi[["prio"]])
    )
    knots = plain.knots
    terms = pd.DataFrame(restricted_cubic_spline(rossi["age"].to_numpy(dtype=float), knots))
    terms.columns = ["a", "b"]
    model = fit_cox(rossi["week"], rossi["arrest"], terms.assign(prio=rossi["prio"]))
    expected = model.coefficients[1] ** 2 / model.covariance[1, 1]
    assert adjusted.non_linearity.chi2 == pytest.approx(expected)
    assert adjusted.non_linearity.chi2 != pytest.approx(plain.non_linearity.chi2, rel=1e-3)


def test_score_of_two_values_has_no_curve() -> None:
    rossi = load_rossi()
    found = spline_effect(rossi["week"], rossi["arrest"], rossi["fin"])
    assert found.curve.empty
    assert found.note == "not estimable: the score has too few values for 4 knots"
