"""Pooling of centres against metafor, and against its own definition."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from cohorts.errors import DataError
from cohorts.random_effects import (
    adhoc_is_wider,
    leave_one_out,
    pool,
    tau2_dersimonian_laird,
    tau2_reml,
    weighted_mean,
)

# Viechtbauer 2005, J Educ Behav Stat 30:261, examples 1 and 2, as metafor's own tests have them
# (test_analysis_example_viechtbauer2005.r).
FIRST = np.array(
    [
        [-0.581, 0.530, 0.771, 1.031, 0.553, 0.295, 0.078, 0.573, -0.176, -0.232],
        [0.023, 0.052, 0.060, 0.115, 0.095, 0.203, 0.200, 0.211, 0.051, 0.040],
    ]
)
SECOND = np.hstack(
    [
        [
            [0.100, -0.162, -0.090, -0.049, -0.046, -0.010, -0.431, -0.261, 0.134],
            [0.016, 0.015, 0.050, 0.050, 0.032, 0.052, 0.036, 0.024, 0.034],
        ],
        [
            [0.019, 0.175, 0.056, 0.045, 0.103, 0.121, -0.482, 0.290, 0.342],
            [0.033, 0.031, 0.034, 0.039, 0.167, 0.134, 0.096, 0.016, 0.035],
        ],
    ]
)
# dat.raudenbush1985 of metafor: effect of a teacher's expectation on a pupil's IQ, 19 studies.
RAUDENBUSH = np.hstack(
    [
        [
            [0.03, 0.12, -0.14, 1.18, 0.26, -0.06, -0.02, -0.32, 0.27, 0.80],
            [0.0156, 0.0216, 0.0279, 0.1391, 0.1362, 0.0106, 0.0106, 0.0484, 0.0269, 0.0630],
        ],
        [
            [0.54, 0.18, -0.02, 0.23, -0.18, -0.06, 0.30, 0.07, -0.07],
            [0.0912, 0.0497, 0.0835, 0.0841, 0.0253, 0.0279, 0.0193, 0.0088, 0.0303],
        ],
    ]
)

effects = st.floats(-3, 3)
variance = st.floats(0.01, 2)
centres = st.lists(st.tuples(effects, variance), min_size=2, max_size=12)


@pytest.mark.parametrize(
    ("data", "reml", "dl", "i2"),
    [(FIRST, 0.2232, 0.2768, 76.8399), (SECOND, 0.0157, 0.0126, 32.0203)],
)
def test_tau2_and_i2_equal_metafor(
    data: NDArray[np.float64], reml: float, dl: float, i2: float
) -> None:
    pooled = pool(*data)
    assert pooled.tau2 == pytest.approx(reml, abs=6e-5)
    # metafor stops at steps of 1e-5; of small tau2 that shows.
    assert pooled.i2 == pytest.approx(i2, rel=1e-4)
    assert float(tau2_dersimonian_laird(*data)) == pytest.approx(dl, abs=6e-5)


def test_hartung_knapp_equals_metafor() -> None:
    """`rma(yi, vi, knha = TRUE)` of dat.raudenbush1985; test_analysis_example_raudenbush2009.r."""
    pooled = pool(*RAUDENBUSH)
    assert round(pooled.tau2, 3) == 0.019
    assert round(pooled.estimate, 3) == 0.084
    assert round(pooled.se, 3) == 0.062
    assert (round(pooled.ci_low, 3), round(pooled.ci_high, 3)) == (-0.046, 0.213)
    assert round(pooled.q, 2) == 35.83


def test_vaccine_trials_equal_metafor() -> None:
    """`rma(yi, vi, data = escalc("RR", ..., data = dat.bcg))`, `confint` and Q, as it prints them.

    Risk ratios of 13 trials of the BCG vaccine (Colditz et al. 1994, JAMA 271:698).
    """
    ill = np.array([4, 6, 3, 62, 33, 180, 8, 505, 29, 17, 186, 5, 27])
    well = np.array([119, 300, 228, 13536, 5036, 1361, 2537, 87886, 7470, 1699, 50448, 2493, 16886])
    ill_without = np.array([11, 29, 11, 248, 47, 372, 10, 499, 45, 65, 141, 3, 29])
    well_without = np.array(
        [128, 274, 209, 12619, 5761, 1079, 619, 87892, 7232, 1600, 27197, 2338, 17825]
    )
    vaccinated, others = ill + well, ill_without + well_without
    y = np.log(ill / vaccinated / (ill_without / others))
    pooled = pool(y, 1 / ill - 1 / vaccinated + 1 / ill_without - 1 / others)
    assert pooled.estimate == pytest.approx(-0.7145, abs=1e-4)
    assert pooled.tau2 == pytest.approx(0.3132, abs=1e-4)
    assert pooled.i2 == pytest.approx(92.22, abs=0.01)
    assert pooled.q == pytest.approx(152.2330, abs=1e-4)
    assert (pooled.tau2_ci_low, pooled.tau2_ci_high) == pytest.approx((0.1197, 1.1115), abs=1e-4)


def test_prediction_interval_has_two_degrees_less_than_centres() -> None:
    """Higgins et al. 2009, eq. 12, with t(17) = 2.109816."""
    pooled = pool(*RAUDENBUSH)
    half = 2.109816 * math.sqrt(pooled.tau2 + pooled.se**2)
    assert pooled.prediction_low == pytest.approx(pooled.estimate - half, abs=1e-6)
    assert pooled.prediction_high == pytest.approx(pooled.estimate + half, abs=1e-6)


def test_interval_of_tau2_is_where_q_meets_chi_squared() -> None:
    """At each limit the generalised Q is the 97.5% or 2.5% point of chi-squared with 9 degrees."""
    y, v = FIRST
    pooled = pool(y, v)
    for tau2, quantile in ((pooled.tau2_ci_low, 19.022768), (pooled.tau2_ci_high, 2.700389)):
        _, _, scale = weighted_mean(y, v, tau2)
        assert float(scale) * 9 == pytest.approx(quantile, abs=1e-5)
    assert pool(*SECOND).tau2_ci_low == 0


@given(centres)
# Two peaks: 0.969 is lower than 0.
@example([(0.0, 1.0), (0.0, 1 / 32), (0.0, 1 / 32), (3.0, 1.0)])
def test_reml_is_where_the_restricted_likelihood_is_largest(
    drawn: list[tuple[float, float]],
) -> None:
    y, v = np.array(drawn).T

    def loss(tau2: float) -> float:
        w = 1 / (v + tau2)
        mean = (w * y).sum() / w.sum()
        return 0.5 * float(-np.log(w).sum() + np.log(w.sum()) + (w * (y - mean) ** 2).sum())

    found = float(tau2_reml(y, v))
    nearby = minimize_scalar(
        loss, bounds=(0.5 * found, 2 * found + 0.01), method="bounded", options={"xatol": 1e-9}
    )
    elsewhere = min(map(loss, [0.0, *np.geomspace(1e-3, 30, 200)]))
    assert loss(found) <= min(nearby.fun, elsewhere) + 1e-7


@given(centres, st.floats(-5, 5), st.floats(0.1, 10))
def test_intervals_move_with_the_scale(
    drawn: list[tuple[float, float]], shift: float, factor: float
) -> None:
    y, v = np.array(drawn).T
    there, here = pool(y * factor + shift, v * factor**2), pool(y, v)
    for name in ("estimate", "ci_low", "adhoc_ci_high", "prediction_low", "prediction_high"):
        expected = getattr(here, name) * factor + shift
        assert getattr(there, name) == pytest.approx(expected, abs=1e-6, rel=1e-6, nan_ok=True)
    assert there.i2 == pytest.approx(here.i2, abs=1e-5)
    assert sum(here.weights) == pytest.approx(100)
    assert here.tau2_ci_low <= here.tau2_ci_high
    assert here.adhoc_ci_high - here.adhoc_ci_low >= here.ci_high - here.ci_low - 1e-12


def test_adhoc_interval_is_wider_where_centres_agree_by_chance() -> None:
    assert adhoc_is_wider(vars(pool([1.0, 1.0], [0.5, 0.5])))
    assert not adhoc_is_wider(vars(pool(*RAUDENBUSH)))


def test_many_at_once_are_as_one_by_one() -> None:
    random = np.random.default_rng(3)
    y, v = random.normal(size=(40, 6)), random.uniform(0.05, 1, size=(40, 6))
    assert tau2_reml(y, v) == pytest.approx(
        [float(tau2_reml(a, b)) for a, b in zip(y, v, strict=True)]
    )


def test_few_centres_say_so() -> None:
    two = pool([0.1, 0.5], [0.04, 0.09])
    assert math.isnan(two.prediction_low)
    assert "1 degree of freedom" in two.note
    one = pool([0.1, math.nan], [0.04, 0.09])
    assert (one.estimate, one.centres, one.weights) == (0.1, 1, (100, 0))
    assert one.ci_high == pytest.approx(0.1 + 1.959964 * 0.2, abs=1e-6)
    assert one.note == "1 of 2 centres not estimable, left out; " + (
        "one centre: its own interval, nothing pooled"
    )
    none = pool([], [])
    assert math.isnan(none.estimate)
    assert none.note == "no centre"


def test_leaving_a_centre_out_pools_the_others() -> None:
    table = leave_one_out(*FIRST)
    expected = pool(FIRST[0][1:], FIRST[1][1:])
    assert len(table) == 10
    assert table.loc[0, ["estimate", "tau2", "i2"]].tolist() == pytest.approx(
        [expected.estimate, expected.tau2, expected.i2]
    )


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(DataError, match="2 estimates and 1 variances"):
        pool([0.1, 0.2], [0.1])
