"""Numbers as journals print them: the same words in every figure, page and table."""

import math

NOT_ESTIMABLE = "not estimable"


def p_value(p: float) -> str:
    """Print a p value: "< 0.001", "0.031", "0.25", or that there is none."""
    if math.isnan(p):
        return NOT_ESTIMABLE
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def p_text(p: float) -> str:
    """Print a p value after the letter p, with its sign: "< 0.001", "= 0.031", "= 0.25"."""
    return p_value(p) if math.isnan(p) or p < 0.001 else f"= {p_value(p)}"


def estimate_text(
    estimate: float, ci_low: float | None, ci_high: float | None, form: str = "z.2f"
) -> str:
    """Print an estimate with its 95% limits in a sentence: "2.10 (95% CI 1.30 to 3.44)".

    Parameters
    ----------
    estimate, ci_low, ci_high
        NaN where not estimable, limits also None; that is what is then printed.
    form
        How Python is to format each number; "z" leaves no -0.00.
    """
    return _with_limits(estimate, ci_low, ci_high, form, "95% CI ")


def interval_text(
    estimate: float, ci_low: float | None, ci_high: float | None, form: str = "z.2f"
) -> str:
    """Print an estimate with its 95% limits under a heading that names them: "2.10 (1.30 to 3.44)".

    Parameters are those of `estimate_text`.
    """
    return _with_limits(estimate, ci_low, ci_high, form, "")


def _with_limits(
    estimate: float, ci_low: float | None, ci_high: float | None, form: str, name: str
) -> str:
    if math.isnan(estimate):
        return NOT_ESTIMABLE
    if ci_low is None or ci_high is None or math.isnan(ci_low):
        return f"{estimate:{form}} (95% CI {NOT_ESTIMABLE})"
    return f"{estimate:{form}} ({name}{ci_low:{form}} to {ci_high:{form}})"
