"""Models are compared by what their logits say, on the patients of whom the truth is known."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from cmil.bundle import ModelFacts
from cmil.calibration import fit_softmax
from cmil.comparison.comparable_scores import outcomes_of, scores_of
from cohorts.endpoints import Endpoint
from cohorts.errors import DataError

PATIENTS = pd.DataFrame(
    {
        "centre": ["Lund", "Lund", "Bern", "Bern"],
        "split": ["development", "development", "external", "external"],
        "label": [0, 1, 2, 1],
        "months": [5.0, 7.0, 9.0, np.nan],
        "status": [1.0, 2.0, 0.0, 1.0],
        "age": [np.nan, 1.0, 2.0, 3.0],
    },
    index=pd.Index(["P1", "P2", "P3", "P4"], name="patient_id"),
)


def facts_of(**known: Any) -> ModelFacts:
    """Only the facts that scores are read by."""
    return ModelFacts.model_construct(**known)


def predictions_of(**columns: object) -> pd.DataFrame:
    """Of the patients, in another order."""
    known = PATIENTS.reset_index()[["patient_id", "centre", "split"]]
    kinds = ["oof", "oof", "external", "external"]
    return known.assign(score_kind=kinds, model_digest="d", **columns).iloc[::-1]


def test_classes_are_compared_by_logits_that_are_not_calibrated() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4, 3))
    calibration = fit_softmax(rng.normal(0, 2, (30, 3)), np.arange(30) % 3)
    told = dict(zip(["score_a", "score_b", "score_c"], calibration(logits).T, strict=True))
    facts = facts_of(classes=("a", "b", "c"), calibration=calibration)
    table = scores_of(predictions_of(**told), outcomes_of(PATIENTS, facts), facts)
    assert list(table["patient_id"]) == ["P4", "P3", "P2", "P1"]
    assert list(table["label"]) == [1, 2, 1, 0]
    assert table[list(told)].to_numpy() == pytest.approx(softmax(logits, axis=1)[::-1])
    with pytest.raises(DataError, match='no column "score_c"; run cmil predict'):
        lacking = predictions_of(**told).drop(columns="score_c")
        scores_of(lacking, outcomes_of(PATIENTS, facts), facts)


def test_endpoint_leaves_out_who_was_not_followed_and_censors_other_events() -> None:
    facts = facts_of(endpoint=Endpoint(time="months", event="status", competing=("death",)))
    outcomes = outcomes_of(PATIENTS, facts)
    assert list(outcomes.index) == ["P1", "P2", "P3"]
    assert list(outcomes["event"]) == [1, 0, 0]
    table = scores_of(predictions_of(logit=[0.1, 0.2, 0.3, 0.4]), outcomes, facts)
    assert list(table["risk"]) == [0.3, 0.2, 0.1]
    assert list(table["time"]) == [9, 7, 5]
