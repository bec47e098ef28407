"""What the page says of the cut-point is what its rule has looked at."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmil.survival_page import cutpoint_text, endpoint_part, methods_paragraphs
from survival import CutPoint, Endpoint, SurvivalSettings, analyse


def cut(**given: object) -> CutPoint:
    known = {"n": 40, "score_mean": 0.5, "score_sd": 0.2, "model_digest": "m"}
    digests = {"cohort_digest": "c", "scores_digest": "s"}
    return CutPoint.model_validate(known | digests | given)


@pytest.mark.parametrize(
    ("given", "says", "looked"),
    [
        ({"method": "median", "values": (0.5,)}, "the median of the scores", False),
        ({"method": "tertiles", "values": (0.3, 0.6)}, "those up to 0.3000 the low one", False),
        ({"method": "given", "values": (0.5,)}, "given beforehand", False),
        (
            {"method": "youden", "values": (0.5,), "endpoint": "death", "horizon": 24.0},
            "the largest Youden index for death by 24",
            True,
        ),
        (
            {
                "method": "maximally_selected",
                "values": (0.5,),
                "endpoint": "death",
                "p_corrected": 0.031,
            },
            "(p = 0.031, corrected for the search)",
            True,
        ),
    ],
)
def test_cut_point_says_whether_outcomes_were_looked_at(
    given: dict[str, object], says: str, looked: bool
) -> None:
    text = cutpoint_text(cut(**given))
    assert says in text
    assert ("whose outcomes were looked at" in text) == looked
    assert ("without a look at any outcome" in text) != looked
    assert ("groups differ by construction" in text) == looked
    assert "40 development patients" in text


def test_methods_are_paragraphs_without_marks() -> None:
    text = "# Statistical methods\n\n**Exploratory.** One.\n\nTwo.\n"
    assert methods_paragraphs(text) == ["Exploratory. One.", "Two."]


def test_what_too_few_events_leave_open_everywhere_is_not_estimable(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ids = [f"P{number}" for number in range(40)]
    patients = pd.DataFrame(
        {
            "months": rng.uniform(1, 60, 40),
            "died": np.arange(40) % 8 == 0,
            "age": rng.normal(3, 1, 40),
            "ferritin": rng.normal(3, 1, 40),
        },
        index=pd.Index(ids, name="patient_id"),
    )
    predictions = pd.DataFrame(
        {
            "patient_id": ids,
            "centre": np.repeat(["Lund", "Bern"], 20),
            "split": np.repeat(["development", "external"], 20),
            "score_kind": np.repeat(["oof", "external"], 20),
            "score": rng.uniform(size=40),
            "model_digest": "m",
        }
    )
    results = analyse(
        predictions,
        patients.astype({"died": int}),
        {"death": Endpoint(time="months", event="died")},
        SurvivalSettings(covariates=("age", "ferritin"), bootstrap_samples=20),
        tmp_path,
        "cohort",
    )
    part = endpoint_part(results, "death")
    assert len(part.merits) >= 2
    for merit in part.merits:
        said = (merit.added, merit.ipa, merit.slope, merit.observed_to_expected)
        assert set(said) == {"not estimable"}
    assert "corrected" in pd.read_csv(tmp_path / "added_value.csv")
