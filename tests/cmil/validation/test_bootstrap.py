"""Bootstrap weights: who can be drawn, how often, and the same again from the same seed."""

import numpy as np
import pandas as pd
import pytest

from cmil.validation.bootstrap import patient_weights, weighted_mean

STRATA = pd.DataFrame({"label": [0, 0, 0, 1, 1, 1, 1], "centre": list("ABABABA")})


def test_every_sample_keeps_the_strata() -> None:
    weights = patient_weights(STRATA, 300, np.random.default_rng(2))
    for members in STRATA.groupby(["label", "centre"]).indices.values():
        assert (weights[:, members].sum(axis=1) == len(members)).all()


def test_draws_are_multinomial() -> None:
    """Mean 1 and variance 1 - 1/n of how often each of n patients is drawn."""
    one = pd.DataFrame({"centre": ["A"] * 5})
    weights = patient_weights(one, 20_000, np.random.default_rng(3))
    assert weights.mean(axis=0) == pytest.approx(np.ones(5), abs=0.03)
    assert weights.var(axis=0) == pytest.approx(np.full(5, 0.8), abs=0.05)


def test_same_seed_same_samples() -> None:
    first, second, other = (
        patient_weights(STRATA, 5, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert (first == second).all()
    assert (first != other).any()


def test_mean_over_samples_is_that_of_drawn_patients() -> None:
    weights = patient_weights(STRATA, 3, np.random.default_rng(0))
    values = np.arange(7.0)
    expected = [np.repeat(values, w.astype(int)).mean() for w in weights]
    assert weighted_mean(values, weights) == pytest.approx(expected)
