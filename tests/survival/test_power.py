"""Sample size and power against published examples and a simulation."""

import math

import numpy as np
import pandas as pd
import pytest

from cohorts.errors import SettingsError
from survival.cox_model import coefficient_table, fit_cox
from survival.power import (
    detectable_hazard_ratio,
    events_needed,
    group_variance,
    patients_needed,
    power_of,
    study_power,
)


def test_hsieh_and_lavori_example() -> None:
    """Hsieh & Lavori 2000, page 557; powerSurvEpi::ssizeEpiCont.default: 107, power 0.806."""
    settings = {"alpha": 0.1, "r_squared": 0.1837}
    events = events_needed(math.e, 0.3126**2, power=0.806, **settings)
    assert patients_needed(events, 0.738) == 107
    assert power_of(107 * 0.738, math.e, 0.3126**2, **settings) == pytest.approx(0.806, abs=1e-3)


def test_latouche_example() -> None:
    """Latouche et al. 2004, section 5.2; powerSurvEpi::ssizeEpi.default: 139 patients."""
    events = events_needed(2, group_variance(0.39), r_squared=0.132**2)
    assert patients_needed(events, 0.505) == 139


def test_trial_of_two_equal_groups_equals_gsdesign() -> None:
    """gsDesign::nEvents(hr = 0.7, alpha = 0.025, beta = 0.1): 331 (vignette SurvivalOverview)."""
    assert math.ceil(events_needed(0.7, group_variance(0.5), power=0.9)) == 331


def test_the_three_functions_undo_each_other() -> None:
    events = events_needed(1.8, 0.21, power=0.85, alpha=0.01, r_squared=0.3)
    options = {"alpha": 0.01, "r_squared": 0.3}
    assert power_of(events, 1.8, 0.21, **options) == pytest.approx(0.85)
    assert power_of(events, 1 / 1.8, 0.21, **options) == pytest.approx(0.85)
    assert detectable_hazard_ratio(events, 0.21, power=0.85, **options) == pytest.approx(1.8)


def test_power_is_the_share_of_simulated_studies_that_find_it() -> None:
    random = np.random.default_rng(11)
    events = math.ceil(events_needed(1.2, 1.0))
    found = 0
    for _ in range(300):
        score = random.normal(size=events)
        time = random.exponential(np.exp(-math.log(1.2) * score))
        model = fit_cox(time, np.ones(events), pd.DataFrame({"score": score}))
        found += coefficient_table(model)["p"][0] < 0.05
    # 80 % within three standard errors of 300 studies.
    assert abs(found / 300 - 0.8) < 0.07


def test_study_power_rises_with_the_hazard_ratio_and_falls_with_adjustment() -> None:
    plain, adjusted = study_power(60, 0.4), study_power(60, 0.4, r_squared=0.5)
    for _, rows in plain.groupby("comparison"):
        assert rows["power"].is_monotonic_increasing
        enough = rows["events_for_80"] <= 60
        assert (enough == (rows["power"] >= 0.8)).all()
        assert (enough == (rows["hr"] >= rows["detectable_hr"])).all()
    assert (adjusted["power"] < plain["power"]).all()


def test_study_without_events_or_groups_has_no_power_to_speak_of() -> None:
    table = study_power(0, 1.0)
    assert table["comparison"].unique().tolist() == ["score, per SD"]
    assert table["power"].to_numpy() == pytest.approx(np.full(6, 0.025))
    assert table["detectable_hr"].isna().all()
    assert (table["note"] == "every patient is in one group").all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"hazard_ratio": 1.0}, "hazard ratio 1"),
        ({"hazard_ratio": -2.0}, "hazard ratio -2"),
        ({"variance": 0.0}, "variance 0"),
        ({"power": 1.0}, "power 1"),
        ({"r_squared": 1.0}, "r_squared 1"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        events_needed(**{"hazard_ratio": 2.0, "variance": 1.0} | arguments)
