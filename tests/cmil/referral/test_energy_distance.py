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


@pytest.mark.parametrize("width", [3, 700])
def test_distances_are_those_of_differences(width: int) -> None:
    """Also far from 0, where squares subtracted from each other would lose digits."""
    rows = np.random.default_rng(2).normal(1000, 1, size=(40, width))
    differences = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    np.testing.assert_allclose(pairwise_distances(rows), differences, rtol=1e-10, atol=0)


def test_patients_that_are_alike_have_distance_zero() -> None:
    rows = np.random.default_rng(3).normal(size=(12, 5))
    rows[7] = rows[2]
    rows[9] = rows[2] + 1e-9
    found = pairwise_distances(rows)
    assert found[7, 2] == 0 and (found.diagonal() == 0).all()
    assert found[9, 2] == pytest.approx(np.linalg.norm(rows[9] - rows[2]))
    assert (pairwise_distances(np.ones((4, 3))) == 0).all()
