"""Times and events become a direction for each patient; labels stay what they are."""

import numpy as np
import pytest

from cmil.histograms.targets import martingale_residuals, targets_of
from cohorts.errors import DataError

# Times 1, 2, 2, 3, 5; the second at 2 and the last censored. H is 1/5, then 1/5 + 1/4, then + 1/2.
TRUTH = np.array([[1, 1], [2, 1], [2, 0], [3, 1], [5, 0]], dtype=float)


def test_residuals_known_by_hand() -> None:
    expected = [1 - 0.2, 1 - 0.45, -0.45, 1 - 0.95, -0.95]
    np.testing.assert_allclose(martingale_residuals(TRUTH), expected)
    assert martingale_residuals(TRUTH).sum() == pytest.approx(0)


def test_residuals_are_the_slope_of_the_partial_likelihood() -> None:
    """From no effect, a step along sum(x * residual) raises Cox's likelihood at that rate."""
    rng = np.random.default_rng(0)
    time, event = rng.exponential(size=50), rng.integers(2, size=50).astype(float)
    x = rng.normal(size=50)
    residuals = martingale_residuals(np.stack([time, event], axis=1))
    score = sum(x[i] - x[time >= time[i]].mean() for i in range(50) if event[i])
    assert x @ residuals == pytest.approx(score)


def test_early_events_are_positive_and_early_censoring_says_little() -> None:
    targets = targets_of(TRUTH)
    assert list(targets.classes) == [1, 1, 0, 1, 0]
    assert targets.importance[2] < targets.importance[4]


def test_no_event_is_refused() -> None:
    with pytest.raises(DataError, match="0 of 5 training patients have the event"):
        targets_of(TRUTH * [1, 0])
