"""Cox regression of many weighted samples at once."""

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from lifelines.datasets import load_rossi

from survival.weighted_cox import fit_weighted_cox, risk_by

COVARIATES = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]


@pytest.fixture(scope="module")
def rossi() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    data = load_rossi()
    columns = (data[COVARIATES], data["week"], data["arrest"])
    return tuple(column.to_numpy(dtype=float) for column in columns)


def test_equals_coxph_with_efron_ties(rossi) -> None:
    """cox_rossi of reference_values.json: coef, se, LRT, log likelihood."""
    fit = fit_weighted_cox(*rossi, np.ones((1, 432)))
    coefficients = [-0.3794222, -0.0574377, 0.3138998, -0.1497957]
    coefficients += [-0.4337039, -0.0848711, 0.0914971]
    errors = [0.19138, 0.022, 0.30799, 0.21222, 0.38187, 0.19576, 0.02865]
    np.testing.assert_allclose(fit.coefficients[0], coefficients, atol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance[0])), errors, atol=1e-5)
    assert fit.log_likelihood[0] == pytest.approx(-658.7477, abs=1e-4)
    assert 2 * (fit.log_likelihood - fit.null_log_likelihood)[0] == pytest.approx(33.27, abs=0.005)


def test_samples_do_not_disturb_each_other_and_weights_are_counts_without_ties() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 2))
    time, event = rng.permutation(80) + 1.0, rng.integers(0, 2, 80).astype(float)
    weights = rng.integers(0, 3, (3, 80)).astype(float)
    together = fit_weighted_cox(x, time, event, weights)
    for row in range(3):
        alone = fit_weighted_cox(x, time, event, weights[row : row + 1])
        np.testing.assert_allclose(together.coefficients[row], alone.coefficients[0], atol=1e-7)
        drawn = weights[row] > 0
        table = pd.DataFrame(x[drawn], columns=["a", "b"])
        table = table.assign(time=time[drawn], event=event[drawn], weight=weights[row][drawn])
        theirs = CoxPHFitter().fit(table, "time", "event", weights_col="weight")
        np.testing.assert_allclose(alone.coefficients[0], theirs.params_, atol=1e-4)


def test_expected_events_are_those_observed(rossi) -> None:
    """Cumulative hazards of all patients at their own times sum to the events (no ties)."""
    x, _, event = rossi
    time = np.random.default_rng(0).permutation(432) + 1.0
    fit = fit_weighted_cox(x, time, event, np.ones((1, 432)))
    passed = [-np.log1p(-risk_by(fit, x[i : i + 1], time[i])[0, 0]) for i in range(432)]
    assert np.sum(passed) == pytest.approx(event.sum(), abs=1e-6)
    assert risk_by(fit, x, 0.5).max() == 0


@pytest.mark.parametrize("column", [np.arange(20) >= 10, np.zeros(20)])
def test_no_maximum_is_nan_and_leaves_other_samples_alone(column: np.ndarray) -> None:
    """All events in one group, or a column that is the same for all."""
    time, event = np.arange(1.0, 21.0), (np.arange(20) >= 10) * 1.0
    fit = fit_weighted_cox(column[:, None] * 1.0, time, event, np.ones((2, 20)))
    assert np.isnan(fit.coefficients).all()
    assert np.isnan(fit.log_likelihood).all()
    assert np.isnan(risk_by(fit, column[:, None] * 1.0, 15)).all()
