"""What is found in survival data before anything is fitted, by column and patient."""

import numpy as np
import pandas as pd
import pytest

from cohorts.errors import DataError
from survival import Endpoint
from survival.data_checks import check_data
from survival.findings import refuse_errors

OS = Endpoint(time="os_months", event="os_event")


@pytest.fixture
def patients(study) -> pd.DataFrame:
    return study[1]


def only(findings: pd.DataFrame) -> pd.Series:
    assert len(findings) == 1, findings.to_string()
    return findings.iloc[0]


def test_sound_data_have_no_finding(study) -> None:
    predictions, patients = study
    findings = check_data(patients, OS, ["age", "mycn"], predictions=predictions)
    assert findings.empty
    refuse_errors(findings)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("os_months", -2.0, "negative"),
        ("os_months", 0.0, "zero"),
        ("os_event", 2, "not 0 (censored) or 1 (event)"),
        ("os_event", np.nan, "missing"),
        ("age", np.inf, "not a number"),
    ],
)
def test_value_names_column_and_patients(patients, column: str, value: float, says: str) -> None:
    patients = patients.astype(float)
    spoilt = list(patients.index[[3, 60]])
    patients.loc[spoilt, column] = value
    findings = check_data(patients, OS, ["age"])
    finding = only(findings)
    assert (finding["level"], finding["column"], finding["n"]) == ("error", column, 2)
    assert finding["patients"] == ", ".join(spoilt)
    assert says in finding["message"]
    with pytest.raises(DataError, match=f'patients: column "{column}"'):
        refuse_errors(findings)


@pytest.mark.parametrize(
    ("unit", "factor", "guess"),
    [("months", 30.44, "days"), ("years", 30.44, "days"), ("days", 0.2, "months or years")],
)
def test_unit_that_cannot_be_is_doubted(patients, unit, factor: float, guess: str) -> None:
    patients["os_months"] = (patients["os_months"] * factor).clip(lower=0.01)
    endpoint = OS.model_copy(update={"unit": unit})
    findings = check_data(patients, endpoint)
    doubts = findings[findings["message"].str.contains("is no follow-up")]
    assert f"it looks like {guess}" in only(doubts)["message"]
    assert only(doubts)["level"] == "warning"


def test_entry_must_come_before_the_end(patients) -> None:
    patients["seen"] = 0.0
    first, second, third = patients.index[:3]
    patients.loc[first, "seen"] = patients.loc[first, "os_months"]
    patients.loc[second, "seen"] = -1.0
    patients.loc[third, "seen"] = np.nan
    late = OS.model_copy(update={"entry": "seen"})
    messages = check_data(patients, late)["message"].tolist()
    assert [m.split('"')[-2] for m in messages] == [third, second, first]
    assert 'not before "os_months"' in messages[2]
    absent = only(check_data(patients, OS.model_copy(update={"entry": "sen"})))
    assert absent["message"] == 'patients: column "sen" is missing; did you mean "seen"?'


def test_missing_covariate_is_a_warning_that_counts(patients) -> None:
    patients = patients.astype(float)
    patients.loc[patients.index[:7], "mycn"] = np.nan
    findings = check_data(patients, OS, ["age", "mycn"])
    finding = only(findings)
    assert (finding["level"], finding["n"]) == ("warning", 7)
    assert "missing for 7 of 185; models leave them out" in finding["message"]
    refuse_errors(findings)


def test_constant_and_collinear_columns_are_named_with_their_sources(patients) -> None:
    patients["site"] = 1
    patients["days"] = 365.25 * patients["age"] - 3 * patients["mycn"] + 5
    patients["noise"] = np.sin(np.arange(len(patients)))
    findings = check_data(patients, OS, ["age", "mycn", "noise", "days"])
    finding = only(findings)
    assert (finding["level"], finding["column"]) == ("error", "days")
    assert 'follows from "age" and "mycn" (collinear)' in finding["message"]
    constant = only(check_data(patients, OS, ["age", "site"]))
    assert constant["message"] == (
        'patients: column "site": the same for all 185 patients; leave it out'
    )


def test_few_events_offer_fewer_covariates_or_firth(patients) -> None:
    patients["os_event"] = 0
    patients.loc[patients.index[::12], "os_event"] = 1
    assert patients["os_event"].sum() == 16
    finding = only(check_data(patients, OS, ["age", "mycn"]))
    assert finding["level"] == "warning"
    assert "16 events for 2 covariates, 8.0 each, fewer than 10" in finding["message"]
    assert "Firth" in finding["message"]


def test_separation_is_seen_and_its_column_named(patients) -> None:
    patients["mycn"] = patients["os_event"]
    finding = only(check_data(patients, OS, ["age", "mycn"]))
    assert (finding["level"], "(separation)" in finding["message"]) == ("warning", True)
    assert '"mycn"' in finding["message"]
    assert '"age"' not in finding["message"]


def test_no_event_is_an_error(patients) -> None:
    patients["os_event"] = 0
    assert "no event" in only(check_data(patients, OS, ["age"]))["message"]


def test_score_of_a_training_fold_is_refused(study) -> None:
    predictions, patients = study
    predictions.loc[:1, "score_kind"] = "train"
    findings = check_data(patients, OS, predictions=predictions)
    finding = only(findings)
    assert (finding["table"], finding["column"], finding["n"]) == ("predictions", "score_kind", 2)
    with pytest.raises(DataError, match="training fold"):
        refuse_errors(findings)


def test_errors_stand_before_warnings(patients) -> None:
    patients = patients.astype(float)
    patients.loc[patients.index[0], "os_event"] = 5
    patients["os_months"] *= 30.44
    findings = check_data(patients, OS)
    assert findings["level"].tolist() == ["error", "error", "warning"]
    assert findings["column"].tolist() == ["os_months", "os_event", "os_months"]
