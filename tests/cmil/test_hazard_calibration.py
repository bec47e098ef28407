"""A risk becomes a probability as Cox and Breslow say."""

import numpy as np
import pytest
from lifelines import CoxPHFitter
from lifelines.datasets import load_rossi

from cmil.hazard_calibration import fit_hazard


def test_slope_and_probability_are_those_of_lifelines() -> None:
    rossi = load_rossi()
    fitted = CoxPHFitter(baseline_estimation_method="breslow").fit(
        rossi[["week", "arrest", "prio"]], "week", "arrest"
    )
    calibrate = fit_hazard(rossi["prio"], rossi["week"], rossi["arrest"], horizon=30)
    assert calibrate.slope == pytest.approx(fitted.params_["prio"], abs=1e-5)
    expected = 1 - fitted.predict_survival_function(rossi[["prio"]], times=[30]).to_numpy()[0]
    # lifelines spreads tied events over its baseline, Breslow does not.
    assert calibrate(rossi["prio"]) == pytest.approx(expected, abs=1e-3)


def test_order_is_kept_where_the_risk_says_the_opposite() -> None:
    risk = np.arange(20.0)
    calibrate = fit_hazard(risk, time=risk + 1, event=np.ones(20), horizon=10)
    scores = calibrate(risk)
    assert (np.diff(scores) > 0).all()
    assert ((scores > 0) & (scores < 1)).all()
