import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_extraction.encoders.probe import (
    cosine_to_expect,
    draw_probe,
    lowest_cosine,
    share_moved,
)


def test_probe_patches_are_the_same_everywhere_and_differ_from_each_other() -> None:
    patches = draw_probe(12, 64)
    np.testing.assert_array_equal(patches, draw_probe(12, 64))
    assert not np.array_equal(patches, draw_probe(12, 64, seed=1))
    means = patches.reshape(12, -1, 3).mean(axis=1)
    assert np.ptp(means, axis=0).min() > 20
    flat = patches.reshape(12, -1).astype(float)
    correlated = np.corrcoef(flat - flat.mean(axis=0)) - np.eye(12)
    assert np.abs(correlated).max() < 0.9


def test_the_lowest_cosine_is_of_what_tells_images_apart() -> None:
    """Centred, the exact vectors are (1, 0), (-1, 0); the second of the others turned by 60."""
    shared = np.array([1000.0, 0], dtype=np.float32)
    exact = np.array([[1, 0], [-1, 0]], dtype=np.float32) + shared
    turned = np.array([[1, 0], [-0.5, np.sqrt(0.75)]], dtype=np.float32) + shared
    plain = (exact * turned).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(turned, axis=1)
    assert plain.min() > 0.9999
    assert lowest_cosine(exact, turned) == pytest.approx(0.5, abs=1e-3)
    assert lowest_cosine(exact, exact) == pytest.approx(1)


def test_vectors_without_information_do_not_pass() -> None:
    exact = np.array([[1, 0], [-1, 0]], dtype=np.float32)
    assert lowest_cosine(exact, np.full((2, 2), np.nan, dtype=np.float32)) == 0
    assert lowest_cosine(exact, np.zeros((2, 2), dtype=np.float32)) == 0
    constant = np.ones((2, 2), dtype=np.float32)
    assert lowest_cosine(constant, constant) == 1
    assert lowest_cosine(constant, exact) == 0


def test_the_cosine_to_expect_joins_the_largest_move_with_the_shortest_embedding() -> None:
    """Centred, the exact vectors are (3, 0), (1, 0), (-4, 0); the first moves by 0.6."""
    exact = np.array([[8, 7], [6, 7], [1, 7]], dtype=np.float32)
    moved = exact + np.array([[0, 0.6], [0, 0], [0, 0.1]], dtype=np.float32)
    assert lowest_cosine(exact, moved) == pytest.approx(3 / np.hypot(3, 0.6))
    assert cosine_to_expect(exact, moved) == pytest.approx(0.8)
    assert cosine_to_expect(exact, exact) == 1
    assert cosine_to_expect(exact, 2 * exact) == 0
    assert cosine_to_expect(exact, np.full((3, 2), np.inf, dtype=np.float32)) == 0


@given(st.integers(0, 2**32 - 1), st.floats(0, 2))
def test_no_cosine_is_below_the_one_to_expect(seed: int, spread: float) -> None:
    random = np.random.default_rng(seed)
    exact = random.normal(3, 1, (6, 4)).astype(np.float32)
    moved = (exact + spread * random.normal(0, 1, exact.shape)).astype(np.float32)
    assert cosine_to_expect(exact, moved) <= max(lowest_cosine(exact, moved), 0) + 1e-6


@given(st.integers(0, 2**32 - 1), st.floats(0.001, 1))
def test_the_share_moved_is_that_of_the_spread(seed: int, share: float) -> None:
    exact = np.random.default_rng(seed).normal(3, 1, (6, 4))
    outwards = exact + share * (exact - exact.mean(axis=0))
    one = exact.astype(np.float32)
    assert share_moved(one, outwards.astype(np.float32)) == pytest.approx(share, rel=1e-2, abs=1e-5)
    assert share_moved(one, one) == 0
    assert share_moved(one, np.full_like(one, np.nan)) == np.inf
    assert share_moved(np.zeros_like(one), one) > 1e6
