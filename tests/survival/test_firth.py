"""Firth's penalised Cox regression against R's coxphf."""

import numpy as np
import pandas as pd
import pytest
from lifelines.datasets import load_rossi

from survival.cox_design import NotEstimableError
from survival.cox_model import fit_cox
from survival.firth import firth_table, fit_firth


def separated() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Draw the data of jzluo/firthmodels tests/conftest.py: no event where "separator" is 0."""
    random = np.random.default_rng(42)
    n = 100
    table = pd.DataFrame(
        {
            "separator": random.choice([0, 1], n, p=[0.35, 0.65]),
            "x1": random.standard_normal(n),
            "x2": random.uniform(-1, 1, n),
            "x3": random.choice([0, 1], n, p=[0.6, 0.4]),
        }
    )
    predictor = table.to_numpy() @ np.array([0.0, 0.5, -0.3, 0.7])
    survival = random.exponential(1 / (0.1 * np.exp(predictor)))
    censored = random.exponential(scale=15.0, size=n)
    event = (survival <= censored) & (table["separator"] == 1).to_numpy()
    return table, np.minimum(survival, censored), event


def test_monotone_likelihood_equals_coxphf() -> None:
    """coxphf's numbers: jzluo/firthmodels tests/test_cox.py."""
    table, time, event = separated()
    model = fit_firth(time, event, table)
    coefficients = [3.8815800583, 0.6042066427, -0.4202139201, 1.0415063080]
    errors = [1.4430190269, 0.1599607483, 0.2541800107, 0.3128784410]
    low = [1.9343469272, 0.2921186188, -0.9217200647, 0.4348431279]
    high = [8.7215676015, 0.9164270978, 0.0699415336, 1.6550461482]
    p = [7.318984974e-09, 1.686334002e-04, 9.295083722e-02, 8.463066114e-04]
    assert model.coefficients == pytest.approx(coefficients, rel=1e-6)
    assert np.sqrt(np.diag(model.covariance)) == pytest.approx(errors, rel=1e-6)
    assert model.ci_low == pytest.approx(low, rel=1e-6)
    assert model.ci_high == pytest.approx(high, rel=1e-6)
    assert model.p == pytest.approx(p, rel=1e-6)
    assert model.likelihood_ratio.chi2 == pytest.approx(57.6071, abs=6e-5)


def test_two_patients_have_hazard_ratio_three() -> None:
    """Heinze & Schemper 2001, section 2."""
    table = firth_table(fit_firth([1, 2], [1, 0], pd.DataFrame({"x": [1, 0]})))
    assert table["hr"][0] == pytest.approx(3, abs=1e-6)
    assert table["method"][0] == "Firth, profile likelihood"


def test_limits_lie_where_the_profile_has_fallen_by_half_a_chi_squared_quantile() -> None:
    """With one covariate the profile is the penalised likelihood itself."""
    time, event = np.arange(1.0, 13), np.ones(12)
    x = pd.DataFrame({"x": [1, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0]})

    def penalised(beta: float) -> float:
        at_risk = np.exp(beta * x["x"].to_numpy())[::-1].cumsum()[::-1]
        mean = (x["x"] * np.exp(beta * x["x"])).to_numpy()[::-1].cumsum()[::-1] / at_risk
        loglik = (beta * x["x"]).sum() - np.log(at_risk).sum()
        return float(loglik + np.log((mean * (1 - mean)).sum()) / 2)

    model = fit_firth(time, event, x)
    best = penalised(model.coefficients[0])
    for limit in (model.ci_low[0], model.ci_high[0]):
        assert 2 * (best - penalised(limit)) == pytest.approx(3.841458820694124, abs=1e-6)
    assert best > max(penalised(model.coefficients[0] + d) for d in (-1e-3, 1e-3))


def test_many_events_need_no_penalty() -> None:
    rossi = pd.concat([load_rossi()] * 6)
    random = np.random.default_rng(0)
    time = rossi["week"] + random.random(len(rossi)) / 2
    plain = fit_cox(time, rossi["arrest"], rossi[["age", "prio"]], strata=rossi["fin"])
    firth = fit_firth(time, rossi["arrest"], rossi[["age", "prio"]], strata=rossi["fin"])
    assert firth.coefficients == pytest.approx(plain.coefficients, rel=1e-2)


def test_unit_of_a_covariate_only_rescales_its_coefficient() -> None:
    table, time, event = separated()
    plain = fit_firth(time, event, table)
    scaled = fit_firth(time, event, table.assign(x1=365.25 * table["x1"] - 20))
    assert scaled.ci_high[1] * 365.25 == pytest.approx(plain.ci_high[1], rel=1e-6)
    assert scaled.p == pytest.approx(plain.p, rel=1e-5)


def test_collinear_columns_are_refused() -> None:
    table, time, event = separated()
    with pytest.raises(NotEstimableError, match='"x1", "twice": collinearity'):
        fit_firth(time, event, table[["x1"]].assign(twice=2 * table["x1"]))
