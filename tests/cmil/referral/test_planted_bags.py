import numpy as np
import pytest

from cmil.referral.planted_bags import mixed_rows, mixed_scores
from cohorts.errors import DataError


def test_mixed_bag_holds_the_share_asked_for() -> None:
    rng = np.random.default_rng(0)
    rows = mixed_rows(np.arange(10), np.arange(100, 300), 0.05, 100, rng)
    assert len(np.unique(rows)) == 100
    assert (rows < 10).sum() == 5
    with pytest.raises(DataError, match="takes 20 tumour patches, 10 are there"):
        mixed_rows(np.arange(10), np.arange(100, 300), 0.2, 100, rng)
    with pytest.raises(DataError, match="less than one of 100"):
        mixed_rows(np.arange(10), np.arange(100, 300), 0.001, 100, rng)


def test_scores_of_mixed_bags_follow_the_fraction() -> None:
    """A score that is the share of tumour gives the fraction back, 0 included."""
    found = mixed_scores(
        lambda bags: np.array([(rows < 10).mean() for rows in bags]),
        np.arange(10),
        np.arange(10, 200),
        [0, 0.02, 0.1],
        50,
        3,
        np.random.default_rng(0),
    )
    assert len(found) == 9
    assert (found["score"] == found["fraction"]).all()
