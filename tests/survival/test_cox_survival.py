"""Predicted survival against R's survfit.coxph."""

import numpy as np
import pandas as pd
import pytest
from lifelines.datasets import load_rossi

from cohorts.errors import DataError
from survival.cox_model import fit_cox
from survival.cox_survival import baseline_hazard, predict_survival


@pytest.mark.shared
def test_stratified_survival_equals_r(reference) -> None:
    """therneau/survival tests/ovarian.Rout.save: survfit(coxph(... + strata(rx)))."""
    ovarian = reference("Rsurvival_ovarian.csv")
    terms = ovarian[["age", "ecog.ps"]]
    model = fit_cox(ovarian["futime"], ovarian["fustat"], terms, strata=ovarian["rx"])
    times = [59, 115, 156, 268, 329, 431, 638]
    average = predict_survival(model, terms.mean().to_frame().T, times, [1.0])
    expected = [0.978, 0.951, 0.910, 0.862, 0.737, 0.627, 0.333]
    assert average.survival[0] == pytest.approx(expected, abs=5e-4)
    low = [0.9275, 0.8620, 0.7722, 0.6776, 0.4909, 0.3680, 0.0865]
    assert average.ci_low[0] == pytest.approx(low, abs=6e-5)
    assert (average.ci_high == 1).all()

    patients = pd.DataFrame({"age": [30, 70], "ecog.ps": [2, 3]})
    second = predict_survival(model, patients, [353, 365, 464, 475, 563], [2.0, 2.0])
    assert second.survival[0] == pytest.approx([0.999, 0.997, 0.994, 0.991, 0.987], abs=6e-4)
    assert second.survival[1] == pytest.approx([0.7092, 0.4738, 0.2494, 0.1207, 0.0489], abs=6e-5)


def test_weighted_breslow_hazard_and_its_error_equal_the_formulas_of_r() -> None:
    """therneau/survival tests/book5.Rout.save, function byhand."""
    model = fit_cox(
        [1, 1, 2, 2, 2, 2, 3, 4, 5],
        [1, 0, 1, 1, 1, 0, 0, 1, 0],
        pd.DataFrame({"x": [2, 0, 1, 1, 0, 1, 0, 1, 0]}),
        weights=[1, 2, 3, 4, 3, 2, 1, 2, 1],
        ties="breslow",
    )
    beta, x = model.coefficients[0], 0.3
    r = np.exp(beta)
    hazard = np.array([1 / (r**2 + 11 * r + 7), 10 / (11 * r + 5), 2 / (2 * r + 1)])
    mean = np.array([(2 * r**2 + 11 * r) * hazard[0], 11 * r / (11 * r + 5), r * hazard[2]])
    spread = np.cumsum(hazard**2 / [1, 10, 2])
    drift = np.cumsum((mean - x) * hazard)
    variance = (spread + drift**2 * model.covariance[0, 0]) * np.exp(2 * beta * x)
    found = predict_survival(model, pd.DataFrame({"x": [x]}), [1, 2, 4])
    assert -np.log(found.survival[0]) == pytest.approx(np.cumsum(hazard) * np.exp(beta * x))
    error = np.log(found.survival[0] / found.ci_low[0]) / 1.959963984540054
    assert error == pytest.approx(np.sqrt(variance))


def test_efrons_hazard_of_the_weighted_data_equals_r() -> None:
    """therneau/survival tests/doweight.Rout.save: coxph.detail hazard with all coefficients 0."""
    time, event, weight = (
        [1, 1, 2, 2, 2, 2, 3, 4, 5],
        [1, 0, 1, 1, 1, 0, 0, 1, 0],
        [*(1, 2, 3, 4, 3, 2, 1, 2, 1)],
    )
    noise = pd.DataFrame({"x": [2, 0, 1, 1, 0, 1, 0, 1, 0]})
    model = fit_cox(time, event, noise, weights=weight)
    risk = np.exp(model.x[:, 0] * model.coefficients[0]) * model.sets.weight
    tied = risk[model.sets.time == 2][model.sets.event[model.sets.time == 2]].sum()
    left = risk[model.sets.time >= 2].sum()
    steps = 10 / 3 * (1 / left + 1 / (left - tied / 3) + 1 / (left - 2 * tied / 3))
    table = baseline_hazard(model)
    assert table["cumulative_hazard"].diff()[1] == pytest.approx(steps)


def test_no_prediction_after_the_last_time_or_for_an_unknown_stratum() -> None:
    rossi = load_rossi()
    model = fit_cox(rossi["week"], rossi["arrest"], rossi[["age"]], strata=rossi["fin"])
    predicted = predict_survival(model, rossi[["age"]].head(2), [0, 52, 53], rossi["fin"].head(2))
    assert predicted.survival[:, 0].tolist() == [1, 1]
    assert np.isfinite(predicted.survival[:, 1]).all()
    assert np.isnan(predicted.survival[:, 2]).all()
    with pytest.raises(DataError, match='no stratum "2"'):
        predict_survival(model, rossi[["age"]].head(1), [10], [2])
    with pytest.raises(DataError, match="has strata"):
        predict_survival(model, rossi[["age"]].head(1), [10])
    with pytest.raises(DataError, match='column "age" of the model is missing'):
        predict_survival(model, rossi[["fin"]].head(1), [10], [1])
