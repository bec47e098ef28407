"""Numbers are printed as journals do."""

import pytest

from survival.print_numbers import estimate_text, p_text

NONE = float("nan")


@pytest.mark.parametrize(
    ("p", "printed"),
    [(0.0004, "< 0.001"), (0.0312, "= 0.031"), (0.0496, "= 0.050"), (0.254, "= 0.25")],
)
def test_p_value(p: float, printed: str) -> None:
    assert p_text(p) == printed


@pytest.mark.parametrize(
    ("numbers", "printed"),
    [
        ((2.1, 1.3, 3.444), "2.10 (95% CI 1.30 to 3.44)"),
        ((2.1, NONE, NONE), "2.10 (no limits)"),
        ((NONE, NONE, NONE), "not estimable"),
    ],
)
def test_estimate(numbers: tuple[float, float, float], printed: str) -> None:
    assert estimate_text(*numbers) == printed
