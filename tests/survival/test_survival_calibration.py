"""Calibration of predicted survival: groups, smooth curve, measures."""

import numpy as np
import pytest

from cohorts.errors import DataError
from survival.curves import kaplan_meier
from survival.survival_calibration import survival_calibration


@pytest.fixture(scope="module")
def patients() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True risk by time 5, time and event; a third is censored by then."""
    rng = np.random.default_rng(3)
    index = rng.normal(size=1200)
    time, left = rng.exponential(10 * np.exp(-index)), rng.uniform(2, 25, 1200)
    true = 1 - np.exp(-0.5 * np.exp(index))
    return true, np.minimum(time, left), (time <= left) * 1.0


def test_true_risks_are_calibrated(patients) -> None:
    found = survival_calibration(*patients, 5, np.random.default_rng(0), samples=100)
    measures = found.measures
    assert measures.loc["slope", "ci_low"] < 1 < measures.loc["slope", "ci_high"]
    assert measures.loc["O:E", "ci_low"] < 1 < measures.loc["O:E", "ci_high"]
    assert measures.loc["ICI", "value"] < 0.02
    np.testing.assert_allclose(found.curve["observed"], found.curve["predicted"], atol=0.06)
    covered = found.curve["predicted"].between(found.curve["ci_low"], found.curve["ci_high"])
    assert covered.mean() > 0.8
    groups = found.groups
    assert groups["n"].tolist() == [240] * 5
    assert groups["predicted"].between(groups["ci_low"], groups["ci_high"]).sum() >= 4


def test_known_faults_are_found_at_their_size(patients) -> None:
    true, time, event = patients
    extreme = 1 - (1 - true) ** np.exp(np.log(-np.log1p(-true) / 0.5))
    found = survival_calibration(extreme, time, event, 5, np.random.default_rng(0), samples=20)
    assert found.measures.loc["slope", "value"] == pytest.approx(0.5, abs=0.05)
    halved = survival_calibration(true / 2, time, event, 5, np.random.default_rng(0), samples=20)
    ratio = halved.measures.loc["O:E"]
    assert ratio["value"] == pytest.approx(2, abs=0.15)
    assert ratio["ci_low"] > 1.7
    assert halved.measures.loc["ICI", "value"] == pytest.approx(np.mean(true / 2), abs=0.03)
    assert halved.measures.loc["E90", "value"] > halved.measures.loc["E50", "value"]


def test_groups_are_kaplan_meier(patients) -> None:
    true, time, event = patients
    found = survival_calibration(*patients, 5, np.random.default_rng(0), groups=3, samples=2).groups
    first = true <= np.quantile(true, 1 / 3)
    curve = kaplan_meier(time[first], event[first])
    survival = curve.loc[curve["time"] <= 5, "survival"].iloc[-1]
    assert found["observed"][0] == pytest.approx(1 - survival, abs=1e-12)
    assert found["events"].sum() == np.sum(event * (time <= 5))


def test_unsupported_horizon_has_groups_and_no_measure() -> None:
    rng = np.random.default_rng(1)
    time = rng.uniform(1, 4, 60)
    found = survival_calibration(rng.uniform(size=60), time, np.ones(60), 3.99, rng)
    assert found.note.startswith("not estimable: ")
    assert found.measures["value"].isna().all()
    assert found.curve.empty
    late = survival_calibration(rng.uniform(size=60), time, np.zeros(60), 9, rng)
    assert (late.groups["note"] == "not estimable: nobody is followed to the horizon").all()


def test_constant_risk_has_no_curve_but_a_ratio() -> None:
    rng = np.random.default_rng(2)
    time = rng.exponential(size=100)
    found = survival_calibration(np.full(100, 0.5), time, np.ones(100), np.log(2), rng)
    assert "curve not estimable" in found.note
    assert np.isnan(found.measures.loc["slope", "value"])
    assert found.measures.loc["O:E", "value"] == pytest.approx(2 * np.mean(time <= np.log(2)))
    assert len(found.groups) == 1


def test_risk_above_one_is_refused() -> None:
    with pytest.raises(DataError, match=r"risk: 1\.2 in row 1"):
        survival_calibration([0.1, 1.2], [1, 2], [1, 1], 1, np.random.default_rng(0))
