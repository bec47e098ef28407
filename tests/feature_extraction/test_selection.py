import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from cohorts.errors import DataError
from feature_extraction.quality import MEASURES
from feature_extraction.selection import (
    KEEP_ALL,
    REASONS,
    PatchRule,
    drop_reasons,
    spread_order,
)

GOOD = {
    "stained": 0.4, "cellularity": 0.1, "overlap": 0.5,
    "sharpness": 0.8, "saturation": 0.15, "ink": 0.0,
}  # fmt: skip


def patches(*changes: dict[str, float]) -> dict[str, NDArray[np.float32]]:
    """Measures of good patches but for what is changed, one patch a change."""
    return {
        name: np.array([{**GOOD, **change}[name] for change in changes], dtype=np.float32)
        for name in MEASURES
    }


def told(quality: dict[str, NDArray[np.float32]], rule: PatchRule) -> list[str]:
    return [REASONS[index] for index in drop_reasons(quality, rule)]


def test_each_limit_has_its_reason_and_the_first_in_order_is_told() -> None:
    quality = patches(
        {},
        {"stained": 0.01},
        {"ink": 0.3},
        {"saturation": 0.001},
        {"sharpness": 0.3},
        {"overlap": 1.4},
        {"sharpness": 0.3, "overlap": 1.4},
        {"stained": 0.01, "ink": 0.3, "sharpness": 0.0},
        {"cellularity": 0.0},
    )
    usual = ["kept", "sparse", "ink", "colourless", "blurred", "thick", "blurred", "sparse"]
    assert told(quality, PatchRule()) == [*usual, "kept"]
    assert told(quality, PatchRule(min_cellularity=0.05)) == [*usual, "sparse"]
    assert told(quality, PatchRule(min_sharpness=None))[4:7] == ["kept", "thick", "thick"]
    assert set(told(quality, KEEP_ALL)) == {"kept"}


@pytest.mark.parametrize(
    ("measure", "limit"),
    [(name.split("_", 1)[1], name) for name in PatchRule.model_fields],
)
def test_a_patch_at_a_limit_is_kept_and_one_step_beyond_is_not(measure: str, limit: str) -> None:
    border = np.float32(0.3)
    beyond = np.nextafter(border, np.float32(-1 if limit.startswith("min") else 1))
    rule = KEEP_ALL.model_copy(update={limit: 0.3})
    reasons = drop_reasons(patches({measure: border}, {measure: beyond}), rule)
    assert reasons.dtype == np.uint8
    assert (reasons > 0).tolist() == [False, True]


def test_a_measure_the_rule_needs_and_the_bag_lacks_is_named() -> None:
    quality = patches({})
    del quality["overlap"]
    assert told(quality, PatchRule(max_overlap=None)) == ["kept"]
    with pytest.raises(DataError, match='"overlap" is missing, which max_overlap needs'):
        drop_reasons(quality, PatchRule())


def test_a_limit_is_switched_off_by_none_in_words_as_toml_has_no_null() -> None:
    assert PatchRule.model_validate({"max_overlap": "none"}) == PatchRule(max_overlap=None)


@pytest.mark.parametrize(
    "wrong",
    [{"max_ink": 1.2}, {"min_sharpness": -0.1}, {"max_overlap": float("nan")}, {"sharpness": 0.5},
     {"max_overlap": "off"}],
)  # fmt: skip
def test_limits_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PatchRule.model_validate(wrong)


def grid(width: int, height: int, side: int = 100) -> NDArray[np.int64]:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x.ravel(), y.ravel()], axis=1) * side


def clusters() -> NDArray[np.int64]:
    """Islands of smear of different size, and a few patches alone."""
    parts = [
        grid(30, 20),
        grid(8, 8) + np.array([7000, 200]),
        grid(40, 3) + np.array([900, 6000]),
        grid(2, 2) + np.array([9000, 9000]),
    ]
    return np.concatenate(parts)


def discrepancy(coords: NDArray[np.int64], chosen: NDArray[np.int64]) -> float:
    """Largest difference between the share of all and of the chosen in a corner box."""
    corners = np.quantile(coords, np.linspace(0, 1, 12)[1:], axis=0)
    inside = [
        ((coords[:, 0] < x) & (coords[:, 1] < y)) for x in corners[:, 0] for y in corners[:, 1]
    ]
    return max(abs(box.mean() - box[chosen].mean()) for box in inside)


@pytest.mark.parametrize(
    "coords", [grid(32, 32), grid(51, 17), clusters()], ids=["2^k", "n", "islands"]
)
@pytest.mark.parametrize("count", [16, 50, 100, 333])
def test_every_beginning_is_spread_better_than_a_random_sample(
    coords: NDArray[np.int64], count: int
) -> None:
    spread, drawn = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        spread.append(discrepancy(coords, spread_order(coords, 100, rng)[:count]))
        drawn.append(discrepancy(coords, rng.permutation(len(coords))[:count]))
    assert np.mean(spread) < 0.8 * np.mean(drawn)


@pytest.mark.parametrize("a_side", [2, 4, 8, 16])
def test_a_beginning_of_4_to_the_k_on_a_square_is_one_from_each_of_as_many_parts(
    a_side: int,
) -> None:
    coords = grid(32, 32)
    for seed in range(10):
        order = spread_order(coords, 100, np.random.default_rng(seed))
        parts = coords[order[: a_side**2]] // (3200 // a_side)
        assert len(np.unique(parts, axis=0)) == a_side**2


def test_the_first_patch_is_any_patch() -> None:
    coords = grid(4, 3)
    first = [spread_order(coords, 100, np.random.default_rng(seed))[0] for seed in range(600)]
    counts = np.bincount(first, minlength=12)
    assert counts.min() > 20


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=80),
    st.integers(1, 5000),
    st.integers(0, 2**32),
)
def test_the_order_is_a_permutation_and_the_same_for_the_same_seed(
    corners: list[tuple[int, int]], side: int, seed: int
) -> None:
    coords = np.array(corners, dtype=np.int64).reshape(-1, 2)
    order = spread_order(coords, side, np.random.default_rng(seed))
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(len(coords)))
    np.testing.assert_array_equal(order, spread_order(coords, side, np.random.default_rng(seed)))
