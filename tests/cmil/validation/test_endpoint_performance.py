"""Risks drawn from a known hazard are found right, wrong ones wrong, and few events are said."""

import math

import numpy as np
import pandas as pd
import pytest

from cmil.validation.endpoint_performance import endpoint_performance
from cohorts.errors import DataError
from cohorts.strata import DEVELOPMENT
from survival import harrell_c

HORIZON = 12.0
SEED = np.random.SeedSequence(0)


def drawn(patients: int, seed: int = 1, exaggerated: float = 1.0) -> pd.DataFrame:
    """Patients whose hazard is known, with the risks of a model that exaggerates its logarithm."""
    rng = np.random.default_rng(seed)
    linear = rng.normal(0, 1, patients)
    time = rng.exponential(20 / np.exp(linear))
    censored = rng.uniform(6, 40, patients)
    risk = exaggerated * linear - math.log(20)
    return pd.DataFrame(
        {
            "patient_id": [f"P{i:04d}" for i in range(patients)],
            "centre": "B",
            "split": "external",
            "score_kind": "external",
            "time": np.minimum(time, censored),
            "event": (time <= censored).astype(int),
            "risk": risk,
            "score": 1 - np.exp(-HORIZON * np.exp(risk)),
        }
    )


def measured(scores: pd.DataFrame) -> pd.DataFrame:
    return endpoint_performance(scores, HORIZON, SEED).set_index("measure")


def test_true_risks_are_found_right() -> None:
    scores = drawn(1500)
    found = measured(scores)
    assert set(found["horizon"]) == {HORIZON} and set(found["patients"]) == {1500}
    assert (found["note"] == "").all()
    for measure in ("o_e", "calibration_slope"):
        assert found.loc[measure, "ci_low"] < 1 < found.loc[measure, "ci_high"]
        assert found.loc[measure, "value"] == pytest.approx(1, abs=0.1)
    assert found.loc["ici", "value"] < 0.03
    assert found.loc["ipa", "ci_low"] > 0.1
    theirs = harrell_c(scores["risk"], scores["time"], scores["event"])
    assert found.loc["concordance", "value"] == pytest.approx(theirs.value)
    assert 0.75 < found.loc["auc", "value"] < 0.9


def test_exaggerated_risks_have_the_same_order_and_are_found_wrong() -> None:
    right, wrong = measured(drawn(1500)), measured(drawn(1500, exaggerated=2.0))
    for measure in ("concordance", "auc"):
        assert wrong.loc[measure, "value"] == pytest.approx(right.loc[measure, "value"])
    assert wrong.loc["calibration_slope", "value"] == pytest.approx(0.5, abs=0.06)
    assert wrong.loc["brier", "value"] > right.loc["brier", "value"]


def test_one_seed_gives_one_table_whatever_the_order_of_patients() -> None:
    scores = drawn(80)
    shuffled = scores.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(measured(shuffled), measured(scores))


def test_few_events_are_said_and_fewer_give_no_number() -> None:
    scores = drawn(60)
    events = scores.index[scores["event"] == 1]
    few = scores.assign(event=scores["event"].where(scores.index <= events[6], 0))
    said = measured(few).loc["concordance"]
    assert said["events"] == 7 and "7 events, fewer than 10" in said["note"]
    fewer = scores.assign(event=scores["event"].where(scores.index <= events[3], 0))
    nothing = measured(fewer)
    assert nothing["value"].isna().all()
    assert nothing.loc["concordance", "note"] == "4 events, fewer than 5: not estimable"


def test_what_is_by_the_horizon_takes_events_by_then() -> None:
    """Thirty events of which one is early say nothing of the risk by then."""
    scores = drawn(80).assign(event=1)
    late = scores.assign(time=np.linspace(HORIZON + 1, 60, 80))
    late.loc[0, "time"] = 3.0
    found = measured(late)
    assert found.loc["concordance", "events"] == 80 and found.loc["concordance", "note"] == ""
    for measure in ("auc", "o_e", "ici", "brier", "ipa"):
        assert math.isnan(found.loc[measure, "value"])
        assert found.loc[measure, "note"] == "1 events, fewer than 5: not estimable"


def test_risks_that_order_everybody_have_an_interval_without_width_and_say_so() -> None:
    scores = drawn(60)
    perfect = measured(scores.assign(event=1, risk=-scores["time"], score=0.5))
    assert (perfect.loc["concordance", ["value", "ci_low", "ci_high"]] == 1).all()
    assert "no spread" in perfect.loc["concordance", "note"]
    assert "curve" not in perfect.loc["o_e", "note"]


def test_a_horizon_beyond_what_was_followed_is_said_and_order_is_still_told() -> None:
    found = endpoint_performance(drawn(80), 60.0, SEED).set_index("measure")
    assert found.loc["concordance", "note"] == "" and found.loc["concordance", "value"] > 0.6
    for measure in ("auc", "o_e", "brier", "ipa"):
        assert math.isnan(found.loc[measure, "value"])
        assert "0 at risk, fewer than 10" in found.loc[measure, "note"]


def test_scores_of_a_model_that_has_seen_its_patients_are_refused() -> None:
    scores = drawn(20).assign(split="development")
    with pytest.raises(DataError, match="only out-of-fold scores"):
        endpoint_performance(scores, HORIZON, SEED)
    assert set(measured(scores.assign(score_kind="oof"))["cohort"]) == {DEVELOPMENT}
