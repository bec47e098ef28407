import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmil.referral.risk_coverage import aurc, risk_coverage
from cohorts.errors import DataError

drawn = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 1)), min_size=1, max_size=30)


def test_most_certain_come_first() -> None:
    """By hand: certainty in the order 0.95 (right), 0.1 (wrong), 0.7 (right), 0.4 (right)."""
    curve = risk_coverage([0.4, 0.95, 0.1, 0.7], [0, 1, 1, 1], 0.5)
    assert list(curve["coverage"]) == [0.25, 0.5, 0.75, 1]
    assert list(curve["risk"]) == pytest.approx([0, 1 / 2, 1 / 3, 1 / 4])
    found = aurc([0.4, 0.95, 0.1, 0.7], [0, 1, 1, 1], 0.5, np.random.default_rng(0))
    assert found.value == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert found.least == pytest.approx(1 / 16)
    assert found.random == 0.25


@given(drawn)
def test_area_is_the_mean_over_patients_whatever_their_order(
    patients: list[tuple[int, int]],
) -> None:
    scores, labels = (np.array(part) for part in zip(*patients, strict=True))
    scores = scores / 10
    # About 0.5, certainty has the order of the distance; 0.3 and 0.7 are a tie.
    sure = np.abs(scores - 0.5).round(6)
    wrong = (scores >= 0.5) != (labels == 1)
    expected = np.mean([wrong[sure >= own].mean() for own in sure])
    order = np.argsort(scores, kind="stable")
    for rows in (slice(None), order):
        found = aurc(scores[rows], labels[rows], 0.5, np.random.default_rng(0), samples=5)
        assert found.value == pytest.approx(expected)
        assert found.least <= found.value + 1e-12


def test_interval_covers_and_repeats_with_the_seed() -> None:
    rng = np.random.default_rng(3)
    labels = np.arange(200) % 2
    scores = 1 / (1 + np.exp(-(rng.normal(size=200) + 2 * labels - 1)))
    one = aurc(scores, labels, 0.5, np.random.default_rng(1))
    assert one == aurc(scores, labels, 0.5, np.random.default_rng(1))
    assert one.ci_low < one.value < one.ci_high


def test_scores_outside_0_to_1_are_refused() -> None:
    with pytest.raises(DataError, match="outside 0 to 1"):
        risk_coverage([1.2], [1], 0.5)
    with pytest.raises(DataError, match="at least one"):
        risk_coverage([], [], 0.5)
