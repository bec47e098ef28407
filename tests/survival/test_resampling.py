"""Curves of many bootstrap samples equal the curve of each."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from survival import kaplan_meier, resampled_survival


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_each_sample_equals_its_own_curve(seed: int) -> None:
    random = np.random.default_rng(seed)
    time, event = random.integers(1, 9, 12).astype(float), random.integers(0, 2, 12)
    counts = random.multinomial(12, np.full(12, 1 / 12), size=5).astype(float)
    at = np.array([0, 2.5, 4, 20])
    together = resampled_survival(time, event, at, counts)
    for sample, survival in zip(counts.astype(int), together, strict=True):
        curve = kaplan_meier(np.repeat(time, sample), np.repeat(event, sample))
        rows = np.searchsorted(curve["time"], at, side="right") - 1
        np.testing.assert_allclose(survival, curve["survival"].iloc[rows], atol=1e-12)
