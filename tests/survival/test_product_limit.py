"""Kaplan-Meier curves of many weighted samples, and what a patient's weight changes in them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from survival.curves import kaplan_meier
from survival.product_limit import (
    bootstrap_blocks,
    censoring_curve,
    event_curve,
    event_influence,
    weight_influence,
)

patients = st.lists(
    st.tuples(st.integers(1, 8), st.integers(0, 1), st.integers(0, 3)), min_size=3, max_size=25
)


def arrays(rows: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    time, event, weight = np.array(rows, dtype=float).T
    return time, event, weight


@settings(deadline=None, max_examples=50)
@given(patients)
def test_weights_are_repeated_patients(rows: list[tuple[int, int, int]]) -> None:
    time, event, weight = arrays(rows)
    if not weight.any():
        return
    at = np.unique(time)
    repeats = weight.astype(int)
    plain = kaplan_meier(np.repeat(time, repeats), np.repeat(event, repeats))
    wanted = [plain.loc[plain["time"] <= t, "survival"].iloc[-1] for t in at]
    curve = event_curve(time, event, np.stack([weight, np.ones(len(time))]))
    np.testing.assert_allclose(curve.at(at)[0], wanted)


def test_who_has_the_event_is_no_longer_at_risk_of_censoring() -> None:
    """Two of three are left after the event at time 1, and one of the two is censored at it."""
    curve = censoring_curve(np.array([1.0, 1.0, 2.0]), np.array([1.0, 0.0, 0.0]), np.ones((1, 3)))
    np.testing.assert_allclose(curve.before(np.array([1.0, 2.0])), [[1.0, 0.5]])
    np.testing.assert_allclose(curve.at(np.array([0.5, 1.0])), [[1.0, 0.5]])


@settings(deadline=None, max_examples=50)
@given(patients)
def test_squared_influence_is_greenwoods_variance(rows: list[tuple[int, int, int]]) -> None:
    time, event, _ = arrays(rows)
    plain = kaplan_meier(time, event).iloc[1:]
    usable = plain[plain["survival"] > 0]
    influence = event_influence(time, event, usable["time"].to_numpy())
    np.testing.assert_allclose(np.sqrt((influence**2).sum(axis=0)), usable["std_err"], atol=1e-12)


def test_influence_is_the_derivative_by_each_weight() -> None:
    rng = np.random.default_rng(1)
    time, event = rng.integers(1, 9, 40).astype(float), rng.integers(0, 2, 40).astype(float)
    share = rng.normal(size=40) * (time < 8) * event
    step, at = 1e-6, np.array([2.0, 5.5])
    raised = np.ones((40, 40)) + step * np.eye(40)
    whole = np.ones((1, 40))
    curves = event_curve(time, event, np.concatenate([raised, whole])).at(at)
    moved = (curves[:-1] - curves[-1]) / step
    np.testing.assert_allclose(event_influence(time, event, at), moved, atol=1e-5)

    def summed(weights: np.ndarray) -> np.ndarray:
        before = censoring_curve(time, event, weights).before(time)
        return np.sum(np.where(share != 0, -np.log(np.where(share != 0, before, 1)), 0) * share, 1)

    moved = (summed(raised) - summed(whole)) / step
    np.testing.assert_allclose(weight_influence(time, event, share), moved, atol=1e-5)


def test_samples_do_not_depend_on_the_size_of_blocks() -> None:
    narrow = np.concatenate(list(bootstrap_blocks(50, 30, np.random.default_rng(3))))
    wide = np.concatenate(list(bootstrap_blocks(50, 30, np.random.default_rng(3), width=10_000)))
    np.testing.assert_array_equal(narrow, wide)
    assert narrow.shape == (30, 50)
    np.testing.assert_array_equal(narrow.sum(axis=1), 50)
