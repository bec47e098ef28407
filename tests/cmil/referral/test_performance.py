import pandas as pd
import pytest

from cmil.referral.conformal import ReferralRule
from cmil.referral.performance import referral_performance
from cohorts.errors import DataError

RULE = ReferralRule(
    miss_rate=0.1,
    false_alarm_rate=0.1,
    threshold=0.5,
    none_below=0.3,
    metastasis_from=0.7,
    cases=20,
    controls=20,
    note="",
)


def predictions(scores: list[float], labels: list[int], centre: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": [f"{centre}{i}" for i in range(len(scores))],
            "centre": centre,
            "split": "external",
            "score_kind": "external",
            "score": scores,
            "label": labels,
        }
    )


def test_counts_of_each_centre_and_all() -> None:
    """Bern: missed at 0.1, alarmed at 0.8, referred at 0.4 and 0.6, right at 0.9 and 0.2."""
    bern = predictions([0.1, 0.8, 0.4, 0.6, 0.9, 0.2], [1, 0, 1, 0, 1, 0], "Bern")
    graz = predictions([0.5, 0.5], [1, 1], "Graz")
    table = referral_performance(pd.concat([bern, graz]), RULE).set_index("cohort")

    first = table.loc["Bern"]
    assert (first["coverage_k"], first["coverage_n"]) == (4, 6)
    assert (first["error_k"], first["error_n"]) == (2, 4)
    assert (first["missed_k"], first["missed_n"]) == (1, 3)
    assert (first["false_alarm_k"], first["false_alarm_n"]) == (1, 3)
    assert first["error_unreferred_k"] == 4
    assert table.loc["Graz", "note"] == "everyone is referred: error not estimable; one label only"
    assert pd.isna(table.loc["Graz", "error"])
    assert table.loc["external, pooled", "coverage_n"] == 8


def test_wilson_interval_of_the_coverage() -> None:
    """R: prop.test(15, 20, correct = FALSE)$conf.int."""
    table = referral_performance(predictions([0.9] * 15 + [0.5] * 5, [1] * 20, "Bern"), RULE)
    found = table.loc[0, ["coverage_ci_low", "coverage_ci_high"]]
    assert tuple(found) == pytest.approx((0.5312989, 0.8881376), abs=1e-6)


def test_a_missing_label_is_named() -> None:
    table = predictions([0.5], [1], "Bern").assign(label=float("nan"))
    with pytest.raises(DataError, match='patient "Bern0" has no label'):
        referral_performance(table, RULE)
