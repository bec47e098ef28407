"""The rule of the horizons, and predicted risks by hand."""

import numpy as np
import pandas as pd
import pytest

from survival import fit_cox, predict_survival
from survival.study.plan import default_horizons, ticks
from survival.study.risk_models import fit_risk_models
from survival.study.stratum import Stratum


def stratum(time: np.ndarray, event: np.ndarray, **covariates: object) -> Stratum:
    index = pd.RangeIndex(len(time))
    rows = pd.DataFrame({"time": time, "event": event, "centre": "Lund"}, index=index)
    rows["per_sd"] = np.sin(np.arange(len(time)))
    empty = pd.DataFrame(index=index)
    return Stratum("development", rows, empty.assign(**covariates), None, empty)


def test_horizons_are_the_last_two_with_ten_at_risk() -> None:
    """Of 100 patients one leaves a month: 64, 40 and -20 are left at 36, 60 and 120."""
    time = np.arange(1, 101) + 0.5
    event = np.arange(100) % 2
    months, by = default_horizons(stratum(time, event), "months")
    assert months == (36, 60)
    assert "within the follow-up of development" in by
    assert default_horizons(stratum(time * 30, event), "days")[0] == (1095, 1825)


def test_short_follow_up_has_the_median_event_time() -> None:
    time, event = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 0, 1, 1])
    assert default_horizons(stratum(time, event), "months")[0] == (3.0,)
    nobody = default_horizons(stratum(time, event * 0), "months")
    assert nobody[0] == (2.5,)
    assert nobody[1].startswith("median time")


def test_ticks_are_few_and_start_at_zero() -> None:
    assert ticks(70, "months").tolist() == [0, 12, 24, 36, 48, 60]
    assert ticks(3000, "years")[0] == 0


def test_risk_is_that_of_the_development_cox_model() -> None:
    random = np.random.default_rng(1)
    time = random.exponential(20, 80).round(1) + 0.1
    of = stratum(time, random.integers(0, 2, 80), age=random.normal(size=80), same=1.0)
    models = {model.name: model for model in fit_risk_models(of)}
    assert list(models) == ["score", "clinical", "score + clinical"]
    at = np.array([5.0, 15.0])
    design = pd.concat([of.rows[["per_sd"]], of.covariates[["age"]]], axis=1)
    fit = fit_cox(of.rows["time"], of.rows["event"], design)
    expected = 1 - predict_survival(fit, design, at).survival
    np.testing.assert_allclose(models["score + clinical"].risk(of, at), expected, atol=1e-8)


def test_no_risk_beyond_follow_up_or_where_a_constant_differs() -> None:
    random = np.random.default_rng(1)
    of = stratum(random.exponential(20, 80), np.ones(80), age=random.normal(size=80), same=1.0)
    model = fit_risk_models(of)[1]
    assert np.isnan(model.risk(of, np.array([1e6]))).all()
    other = of.covariates.assign(same=[2.0, *[1.0] * 79])
    risk = model.risk(Stratum("new", of.rows, other, None, of.subgroups), np.array([5.0]))
    assert np.isnan(risk[:, 0]).tolist() == [True, *[False] * 79]


@pytest.mark.parametrize("events", [0, 4])
def test_too_few_events_give_no_model(events: int) -> None:
    event = np.zeros(80)
    event[:events] = 1
    assert fit_risk_models(stratum(np.arange(80) + 1.0, event)) == ()
