import math

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import norm

from cmil.referral.detection_limit import (
    detection_by_fraction,
    detection_curve,
)
from cohorts.errors import DataError, SettingsError

# Beetles killed by carbon disulphide, Bliss 1935; Dobson & Barnett 2008, Table 7.2.
DOSE = [1.6907, 1.7242, 1.7552, 1.7842, 1.8113, 1.8369, 1.8610, 1.8839]
BEETLES = [59, 60, 62, 56, 63, 59, 62, 60]
KILLED = [6, 13, 18, 28, 52, 53, 61, 60]


def test_equals_glm_on_published_data() -> None:
    """Dobson & Barnett 2008, section 7.3: -60.717 and 34.270, R's glm(binomial).

    Doses are logarithms; shifted by 2 they are those of fractions, and the slope stays.
    """
    fractions = np.repeat(10 ** (np.array(DOSE) - 2), BEETLES)
    killed = np.concatenate([np.arange(n) < k for n, k in zip(BEETLES, KILLED, strict=True)])
    curve = detection_curve(fractions, killed, np.arange(len(killed)))
    assert curve.slope == pytest.approx(34.270, abs=5e-4)
    assert curve.intercept == pytest.approx(-60.717 + 2 * 34.270, abs=2e-3)
    # The 50% dose of the book, 60.717 / 34.270 = 1.7717.
    half = detection_curve(fractions, killed, np.arange(len(killed)), target=0.5)
    assert math.log10(half.limit) + 2 == pytest.approx(1.7717, abs=5e-5)
    # Bags of patients of their own: the sandwich lies near the book's 2.912.
    assert math.sqrt(curve.covariance[1, 1]) == pytest.approx(2.912, rel=0.15)


def simulated(seed: int, spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """40 patients, six fractions each; patients differ in how easily they are found."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(40), 6)
    fractions = np.tile([0.002, 0.005, 0.01, 0.02, 0.05, 0.1], 40)
    linear = 8 + 3.5 * np.log10(fractions) + spread * rng.normal(size=40)[patients]
    return fractions, rng.random(240) < 1 / (1 + np.exp(-linear)), patients


def test_limits_are_where_the_curve_is_not_told_from_the_target() -> None:
    """Fieller's definition: (a + b x - logit 0.95)^2 = 1.96^2 Var(a + b x)."""
    curve = detection_curve(*simulated(0, 0))
    for limit in (curve.ci_low, curve.ci_high):
        x = np.array([1, math.log10(limit)])
        away = x @ (curve.intercept, curve.slope) - logit(0.95)
        assert away**2 == pytest.approx(norm.ppf(0.975) ** 2 * x @ curve.covariance @ x)
    assert curve.ci_low < curve.limit < curve.ci_high
    assert curve([curve.limit])["probability"][0] == pytest.approx(0.95)


def test_interval_covers_the_true_limit() -> None:
    truth = 10 ** ((logit(0.95) - 8) / 3.5)
    covered = 0
    for seed in range(200):
        curve = detection_curve(*simulated(seed, 0))
        covered += curve.ci_low <= truth and not curve.ci_high < truth
    assert 0.90 <= covered / 200 <= 0.985


def test_bags_of_one_patient_count_as_one() -> None:
    """The same bags three times over, of the same patients, say no more than once."""
    fractions, detected, patients = simulated(1, 1.0)
    once = detection_curve(fractions, detected, patients)
    thrice = detection_curve(*(np.tile(part, 3) for part in (fractions, detected, patients)))
    # but for the correction (n - 1) / (n - 2)
    assert thrice.ci_low == pytest.approx(once.ci_low, rel=0.01)
    assert thrice.ci_high == pytest.approx(once.ci_high, rel=0.01)


@pytest.mark.parametrize(
    ("detected", "note"),
    [
        ([1, 1, 1, 1], "every bag was detected: the limit lies below 0.001"),
        ([0, 0, 0, 0], "no bag was detected: the limit lies above 0.1"),
        ([0, 0, 1, 1], "all bags up to 0.01 were missed and all from 0.1 on detected"),
        ([1, 1, 0, 0], "detection falls with the fraction"),
    ],
)
def test_what_has_no_curve_says_why(detected: list[int], note: str) -> None:
    fractions = [0.001, 0.01, 0.1, 0.1] if detected == [0, 0, 1, 1] else [0.001, 0.001, 0.1, 0.1]
    curve = detection_curve(fractions, detected, list("abcd"))
    assert math.isnan(curve.limit)
    assert note in curve.note


def test_a_limit_beyond_the_fractions_planted_is_not_extrapolated() -> None:
    fractions, detected, patients = simulated(0, 0)
    low = fractions <= 0.01
    curve = detection_curve(fractions[low], detected[low], patients[low])
    assert math.isnan(curve.limit)
    assert "the limit lies above it" in curve.note


def test_negative_bags_are_false_alarms_only() -> None:
    fractions, detected, patients = simulated(0, 0)
    with_none = [np.append(a, b) for a, b in ((fractions, 0), (detected, True), (patients, 99))]
    assert detection_curve(*with_none).limit == detection_curve(fractions, detected, patients).limit
    table = detection_by_fraction(with_none[0], with_none[1])
    assert tuple(table.iloc[0][["fraction", "detected", "bags"]]) == (0, 1, 1)


def test_refuses_fractions_that_are_none() -> None:
    with pytest.raises(DataError, match="outside 0 to 1"):
        detection_curve([5.0], [1], ["a"])
    with pytest.raises(SettingsError, match="target is 95"):
        detection_curve([0.5], [1], ["a"], target=95)
