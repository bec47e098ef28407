"""Maximally selected log-rank statistic and its corrected p values."""

import numpy as np
import pytest

from cohorts.errors import DataError
from survival.maximally_selected import (
    log_rank_scores,
    maximally_selected,
    p_lausen92,
    p_lausen94,
)


@pytest.mark.shared
def test_equals_maxstat(reference) -> None:
    """maxstat_dlbcl: M, cut; condMC p of 9999 permutations is 0.0102 with an error of 0.001."""
    data = reference("maxstat_DLBCL.csv").dropna(subset=["time", "cens", "MGE"])
    found = maximally_selected(data["MGE"], data["time"], data["cens"], np.random.default_rng(2))
    assert found.statistic == pytest.approx(3.1772, abs=5e-5)
    assert found.cut == pytest.approx(0.1860526, abs=1e-7)
    assert found.p_permutation == pytest.approx(0.0102, abs=0.003)
    # R gives the p values of Lau92 and Lau94 at the statistic of rounded scores, 3.171.
    assert p_lausen92(3.171) == pytest.approx(0.03611, abs=5e-6)
    below = np.arange(4, 37)
    assert p_lausen94(3.171, len(data), below) == pytest.approx(0.02435, abs=5e-6)
    assert found.p_lausen94 == p_lausen94(found.statistic, len(data), below)


@pytest.mark.parametrize(
    ("p", "proportions", "statistic"),
    [
        (0.1, (0.25, 0.75), 2.539),
        (0.05, (0.4, 0.6), 2.560),
        (0.025, (0.1, 0.9), 3.297),
        (0.01, (0.4, 0.9), 3.442),
    ],
)
def test_equals_the_published_quantiles(p: float, proportions, statistic: float) -> None:
    """Table 2 of Lausen & Schumacher 1992, as maxstat prints it."""
    assert p_lausen92(statistic, proportions) == pytest.approx(p, abs=1e-4)


def test_equals_the_published_bound() -> None:
    """Lausen et al. 1994, page 489: 0.073 at 2.5 for 20 patients, cuts from 25 to 75%."""
    assert p_lausen94(2.5, 20, np.arange(5, 16)) == pytest.approx(0.073, abs=5e-4)


def test_scores_sum_to_zero_without_ties_and_ignore_the_scale_of_time() -> None:
    rng = np.random.default_rng(1)
    time, event = rng.exponential(size=30), rng.integers(0, 2, 30).astype(float)
    scores = log_rank_scores(time, event)
    assert scores.sum() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(scores, log_rank_scores(time**3, event))


def test_a_planted_step_is_found_and_the_direction_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    score = rng.permutation(200) / 200
    time = rng.exponential(np.where(score > 0.7, 0.2, 1.0))
    found = maximally_selected(score, time, np.ones(200))
    assert found.cut == pytest.approx(0.7, abs=0.03)
    assert found.p_lausen92 < 1e-6
    assert np.isnan(found.p_permutation)
    mirrored = maximally_selected(1 - score, time, np.ones(200))
    assert mirrored.statistic == pytest.approx(found.statistic)


def test_corrected_p_keeps_its_level_where_the_naive_one_does_not() -> None:
    rng = np.random.default_rng(3)
    ps = []
    for _ in range(150):
        found = maximally_selected(
            rng.uniform(size=60), rng.exponential(size=60), np.ones(60), rng, 99
        )
        naive = np.abs(found.statistic) > 1.96
        ps.append((naive, found.p_lausen92 <= 0.05, found.p_permutation <= 0.05))
    naive, lausen, permuted = np.mean(ps, axis=0)
    assert naive > 0.3
    assert lausen < 0.09
    assert permuted < 0.09


def test_no_event_or_no_cut_is_refused() -> None:
    with pytest.raises(DataError, match="no event"):
        maximally_selected([0.1, 0.2], [1, 2], [0, 0])
    with pytest.raises(DataError, match="no cut leaves from 10% to 90% of 20 patients"):
        maximally_selected([0.1] * 19 + [0.2], range(1, 21), [1] * 20)
