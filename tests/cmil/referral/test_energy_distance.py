import itertools

import numpy as np
import pytest

from cmil.referral.energy_distance import energy_distances, pairwise_distances, permutation_p


def test_equals_its_definition() -> None:
    """Means over pairs, one by one."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(9, 3))
    members = np.array([True] * 4 + [False] * 5)
    x, y = rows[members], rows[~members]
    between = np.mean([np.linalg.norm(a - b) for a in x for b in y])
    within = np.mean([np.linalg.norm(a - b) for a, b in itertools.combinations(x, 2)])
    outside = np.mean([np.linalg.norm(a - b) for a, b in itertools.combinations(y, 2)])
    found = energy_distances(pairwise_distances(rows), members[None])
    assert found[0] == pytest.approx((2 * between - within - outside) / (2 * between))


def test_p_is_uniform_where_nothing_differs() -> None:
    """Permutation tests are exact: at most 5% below 0.05, whatever the distribution."""
    rng = np.random.default_rng(1)
    members = np.arange(14) < 5
    p = np.array(
        [
            permutation_p(pairwise_distances(rng.standard_cauchy((14, 50))), members, rng, 99)
            for _ in range(400)
        ]
    )
    assert 0.02 <= (p <= 0.05).mean() <= 0.08
    assert abs(p.mean() - 0.5) < 0.05


def test_equal_patients_are_not_apart() -> None:
    distances = pairwise_distances(np.ones((8, 4)))
    members = np.arange(8) < 3
    assert energy_distances(distances, members[None])[0] == 0
    assert permutation_p(distances, members, np.random.default_rng(0), 19) == 1
