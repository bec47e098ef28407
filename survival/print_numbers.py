"""Numbers as journals print them."""

import math


def p_text(p: float) -> str:
    """Print a p value with its sign: "< 0.001", "= 0.031", "= 0.25"."""
    if p < 0.001:
        return "< 0.001"
    return f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"


def estimate_text(estimate: float, ci_low: float, ci_high: float) -> str:
    """Print an estimate with its 95 % limits, "2.10 (95% CI 1.30 to 3.44)", or that it has none."""
    if math.isnan(estimate):
        return "not estimable"
    if math.isnan(ci_low):
        return f"{estimate:.2f} (no limits)"
    return f"{estimate:.2f} (95% CI {ci_low:.2f} to {ci_high:.2f})"
