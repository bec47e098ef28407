import numpy as np
import pandas as pd
import pytest

from cmil.referral.detection_limit import detection_by_fraction, detection_curve
from cmil.referral.figures import detection_figure, risk_coverage_figure, stability_figure
from cmil.referral.risk_coverage import risk_coverage


def test_rule_is_drawn_where_its_cohort_lies() -> None:
    operating = pd.Series(
        {
            "coverage": 0.8,
            "coverage_ci_low": 0.6,
            "coverage_ci_high": 0.9,
            "error": 0.1,
            "error_ci_low": 0.02,
            "error_ci_high": 0.3,
        }
    )
    curve = risk_coverage([0.9, 0.6, 0.2, 0.4], [1, 0, 0, 1], 0.5)
    (ax,) = risk_coverage_figure(curve, operating).axes
    drawn = {line.get_label(): line.get_xydata() for line in ax.get_lines()}
    assert drawn["frozen rule, 95% CI"][0] == pytest.approx([0.8, 0.1])
    assert ax.get_ylim()[1] >= 0.3

    everyone_referred = operating.where(operating.index.str.startswith("coverage"))
    (ax,) = risk_coverage_figure(curve, everyone_referred).axes
    assert "frozen rule, 95% CI" not in {line.get_label() for line in ax.get_lines()}


def test_stability_is_drawn_at_every_number_of_patches() -> None:
    names = ("sd", "flips")
    stable = pd.DataFrame({"patches": [50, 100]}).assign(
        **{f"{name}{end}": 0.1 for name in names for end in ("", "_ci_low", "_ci_high")}
    )
    left, right = stability_figure(stable, 0.05).axes
    assert [text.get_text() for text in left.get_xticklabels()] == ["50", "100"]
    assert list(right.get_lines()[0].get_xdata()) == [50, 100]


def test_curve_and_limit_are_drawn_where_estimable() -> None:
    fractions = np.tile([0, 0.01, 0.05, 0.2], 20)
    rng = np.random.default_rng(0)
    detected = rng.random(80) < np.tile([0.1, 0.3, 0.8, 1.0], 20)
    patients = np.repeat(np.arange(20), 4)
    curve = detection_curve(fractions, detected, patients)
    (ax,) = detection_figure(detection_by_fraction(fractions, detected), curve).axes
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1%", "5%", "20%"]
    assert f"limit {100 * curve.limit:.2g}%" in {text.get_text() for text in ax.texts}

    none = detection_curve(fractions, np.zeros(80), patients)
    (ax,) = detection_figure(detection_by_fraction(fractions, np.zeros(80)), none).axes
    assert not ax.texts
