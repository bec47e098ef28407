"""What a terminal shows is what the tables hold."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmil.comparison.compare import compare
from cmil.results_table import (
    comparison_table,
    performance_table,
    results_table,
    survival_json,
    survival_table,
)
from cmil.validation import performance
from cohorts.errors import FileFormatError

SEED = np.random.SeedSequence(0)
HALF = [0] * 10 + [1] * 10


def predictions(centre: str, labels: list[int]) -> pd.DataFrame:
    scores = [score for score in (0.2, 0.6, 0.4, 0.9) for _ in range(5)][: len(labels)]
    return pd.DataFrame(
        {
            "patient_id": [f"{centre}{i}" for i in range(len(labels))],
            "centre": centre,
            "split": "external",
            "score_kind": "external",
            "score": scores,
            "label": labels,
            "decision": [int(score >= 0.5) for score in scores],
        }
    )


def line_of(text: str, cohort: str) -> str:
    (line,) = [line for line in text.splitlines() if re.match(rf"\s*{cohort}\s", line)]
    return " ".join(line.split())


def compared(centre: str, labels: list[int]) -> pd.DataFrame:
    """The scores of `predictions` against one that ranks nobody."""
    ours = predictions(centre, labels).assign(model="mean", role="model", model_digest="d")
    size = ours.assign(model="bag size", role="baseline", score=0.5)
    return compare(pd.concat([ours, size], ignore_index=True), SEED)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished study whose only centre is called "NA"."""
    (tmp_path / "validation").mkdir()
    (tmp_path / "survival").mkdir()
    table = performance(predictions("NA", HALF), SEED)
    table.to_csv(tmp_path / "validation" / "performance.csv", index=False)
    (tmp_path / "comparison").mkdir()
    compared("NA", HALF).to_csv(tmp_path / "comparison" / "comparison.csv", index=False)
    logrank = pd.DataFrame({"endpoint": ["os", "os"], "stratum": ["NA", "Bern"]})
    logrank = logrank.assign(p=[0.0004, None])
    logrank.to_csv(tmp_path / "survival" / "logrank.csv", index=False)
    cox = pd.DataFrame(
        {
            "endpoint": "os",
            "stratum": ["NA", "NA", "Bern"],
            "term": "high risk",
            "adjusted_for": ["", "age", ""],
            "hr": [2.5, 9.0, None],
            "ci_low": [1.2, 8.0, None],
            "ci_high": [5.2, 10.0, None],
        }
    )
    cox.to_csv(tmp_path / "survival" / "cox.csv", index=False)
    pd.DataFrame({"endpoint": ["os"], "median": [None]}).to_csv(
        tmp_path / "survival" / "medians.csv", index=False
    )
    (tmp_path / "survival" / "cutpoint.json").write_text('{"value": 0.5}', encoding="utf-8")
    return tmp_path


def test_a_cohort_is_a_line() -> None:
    table = performance(pd.concat([predictions("Bern", HALF), predictions("Ulm", [1] * 15)]), SEED)
    text = performance_table(table)
    bern = table.set_index("cohort").loc["Bern"]
    assert line_of(text, "Bern") == (
        f"Bern 20 (10 pos.) 0.75 ({bern['auc_ci_low']:.2f} to {bern['auc_ci_high']:.2f}) "
        "5/10 0.50 (0.24 to 0.76) 5/10 0.50 (0.24 to 0.76)"
    )
    assert line_of(text, "Ulm") == "Ulm 15 (15 pos.) not estimable 5/15 0.33 (0.15 to 0.58) -"


def test_auc_that_is_not_known_is_not_printed() -> None:
    few = performance_table(performance(predictions("Bern", [0] * 16 + [1] * 4), SEED))
    assert "not estimable" in few
    assert "nan" not in few


def test_whole_study_is_shown_with_a_centre_called_na(out: Path) -> None:
    text = results_table(out, ["os"])
    first, compared_in_na, second, last = text.split("\n\n")
    assert compared_in_na.splitlines()[0].startswith("compared in NA")
    assert line_of(first, "NA").startswith("NA 20 (10 pos.) 0.75")
    assert line_of(second, "os  *NA") == "os NA < 0.001 2.50 (1.20 to 5.20)"
    assert line_of(second, "os  *Bern") == "os Bern not estimable not estimable"
    assert last == "Research use only."


def test_study_without_survival_shows_the_rest(out: Path) -> None:
    assert len(results_table(out, []).split("\n\n")) == 3


def test_models_are_compared_in_the_widest_cohort() -> None:
    table = compared("Bern", HALF)
    size = table.iloc[1]
    text = comparison_table(table)
    assert line_of(text, "mean").split(" (the model) ")[1] == "-"
    low, high = size["difference_ci_low"], size["difference_ci_high"]
    assert f"+0.25 ({low:+.2f} to {high:+.2f}) {size['p_holm']:.2f}" in line_of(text, "bag size")
    perfect = comparison_table(compared("Bern", ([0] * 5 + [1] * 5) * 2))
    assert "+0.50 (95% CI not estimable)" in perfect
    few = comparison_table(compared("Bern", [0] * 5 + [1] * 5))
    assert re.search(r"\+0\.50 \(\+0\.\d\d to \+0\.50\)", few)
    none = comparison_table(compared("Bern", [0, 0]))
    assert "nan" not in perfect + few + none


def test_adjusted_ratios_do_not_stand_in_for_crude_ones(out: Path) -> None:
    assert "9.00" not in survival_table(out)


def test_machines_get_json_without_nan(out: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    content = json.loads(survival_json(out), parse_constant=refuse)
    assert content["cutpoint"] == {"value": 0.5}
    assert [row["stratum"] for row in content["cox"]] == ["NA", "NA", "Bern"]
    assert content["medians"] == [{"endpoint": "os", "median": None}]


def test_missing_table_says_what_to_do(out: Path) -> None:
    (out / "validation" / "performance.csv").unlink()
    with pytest.raises(FileFormatError, match=r"performance\.csv.*run the stage"):
        results_table(out, ["os"])
