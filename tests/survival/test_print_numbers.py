"""Numbers are printed as journals do."""

import pytest

from survival.print_numbers import estimate_text, interval_text, p_text, p_value

NONE = float("nan")


@pytest.mark.parametrize(
    ("p", "printed"),
    [
        (0.0004, "< 0.001"),
        (0.0312, "= 0.031"),
        (0.0496, "= 0.050"),
        (0.254, "= 0.25"),
        (NONE, "not estimable"),
    ],
)
def test_p_value(p: float, printed: str) -> None:
    assert p_text(p) == printed
    assert p_value(p) == printed.removeprefix("= ")


@pytest.mark.parametrize(
    ("numbers", "printed"),
    [
        ((2.1, 1.3, 3.444), "2.10 (95% CI 1.30 to 3.44)"),
        ((2.1, NONE, NONE), "2.10 (95% CI not estimable)"),
        ((2.1, None, None), "2.10 (95% CI not estimable)"),
        ((NONE, NONE, NONE), "not estimable"),
    ],
)
def test_estimate(numbers: tuple[float, float | None, float | None], printed: str) -> None:
    assert estimate_text(*numbers) == printed


def test_interval_under_a_heading_has_a_sign_where_asked_and_no_negative_zero() -> None:
    assert interval_text(0.001, -0.001, 0.25) == "0.00 (0.00 to 0.25)"
    assert interval_text(0.1, -0.05, 0.25, "+z.3f") == "+0.100 (-0.050 to +0.250)"
    assert interval_text(0.1, NONE, NONE) == "0.10 (95% CI not estimable)"
