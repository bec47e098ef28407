"""Joining scores with endpoints: every problem at once, each naming its column and patients."""

from collections.abc import Callable

import pandas as pd
import pytest
from pydantic import ValidationError

from cohorts.errors import DataError
from survival import Endpoint, SurvivalSettings, join_endpoints
from survival.endpoints import event_codes, outcome_problems

Study = tuple[pd.DataFrame, pd.DataFrame]
COVARIATES = ("age", "mycn")


def problems(study: Study, endpoints, covariates=COVARIATES) -> list[str]:
    with pytest.raises(DataError) as caught:
        join_endpoints(*study, endpoints, covariates)
    return str(caught.value).splitlines()


def test_join_keeps_the_order_of_the_scores_and_finds_each_patient(
    study: Study, overall_survival
) -> None:
    predictions, patients = study
    rows = join_endpoints(
        predictions, patients.sample(frac=1, random_state=0), overall_survival, ()
    )
    assert rows.index.tolist() == predictions["patient_id"].tolist()
    assert rows.columns.tolist() == ["centre", "split", "score", "os_months", "os_event"]
    assert rows["os_months"].tolist() == patients["os_months"].tolist()
    assert rows["score"].tolist() == predictions["score"].tolist()


def test_numbers_read_as_text_and_truth_values_are_numbers(study: Study, overall_survival) -> None:
    predictions, patients = study
    text = patients.assign(os_months=patients["os_months"].map("{:.3f}".format))
    text["os_event"] = patients["os_event"] == 1
    rows = join_endpoints(predictions, text, overall_survival, COVARIATES)
    assert rows["os_months"].tolist() == pytest.approx(patients["os_months"].tolist(), abs=5e-4)
    assert rows["os_event"].tolist() == patients["os_event"].tolist()


def spoil_patients(column: str, value: object) -> Callable[[pd.DataFrame, pd.DataFrame], Study]:
    def spoil(predictions: pd.DataFrame, patients: pd.DataFrame) -> Study:
        patients = patients.astype({column: object})
        patients.loc[["L003", "B100"], column] = value
        return predictions, patients

    return spoil


def spoil_scores(column: str, value: object) -> Callable[[pd.DataFrame, pd.DataFrame], Study]:
    def spoil(predictions: pd.DataFrame, patients: pd.DataFrame) -> Study:
        chosen = predictions["patient_id"].isin(["L003", "L004"])
        return predictions.astype({column: object}).mask(
            chosen.to_numpy()[:, None] & (predictions.columns == column), value
        ), patients

    return spoil


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (spoil_patients("os_months", -2), 'patients: column "os_months": negative'),
        (spoil_patients("os_months", 0), 'patients: column "os_months": zero'),
        (spoil_patients("os_months", None), 'patients: column "os_months": missing'),
        (spoil_patients("os_months", float("inf")), 'patients: column "os_months": not a number'),
        (spoil_patients("os_months", 4000), 'patients: column "os_months": over 100 years'),
        (spoil_patients("os_event", 2), 'patients: column "os_event": not 0'),
        (spoil_patients("os_event", "dead"), 'patients: column "os_event": not a number'),
        (spoil_patients("mycn", "yes"), 'patients: column "mycn": not a number'),
    ],
)
def test_unfit_value_names_column_and_patients(
    study: Study, overall_survival, spoil, expected: str
) -> None:
    (line,) = problems(spoil(*study), overall_survival)
    assert line.startswith(expected)
    assert line.endswith('(patients "L003", "B100")')


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (spoil_scores("split", "developement"), 'column "split": not "development" or "external"'),
        (spoil_scores("score_kind", "train"), 'column "score_kind": a score from a training fold'),
        (spoil_scores("score", 1.2), 'column "score": not a probability'),
        (spoil_scores("score", None), 'column "score": not a probability'),
        (spoil_scores("centre", None), 'column "centre": missing'),
    ],
)
def test_unfit_score_names_column_and_patients(
    study: Study, overall_survival, spoil, expected: str
) -> None:
    (line,) = problems(spoil(*study), overall_survival)
    assert line.startswith(f"predictions: {expected}")
    assert line.endswith('(patients "L003", "L004")')


def test_external_score_must_be_of_the_external_kind(study: Study, overall_survival) -> None:
    predictions, patients = study
    predictions["score_kind"] = "oof"
    (line,) = problems((predictions, patients), overall_survival)
    assert 'column "score_kind": not "external"' in line
    assert line.endswith(" and 89 more)")


def test_patient_in_one_table_only_is_named(study: Study, overall_survival) -> None:
    predictions, patients = study
    lines = problems((predictions.iloc[1:], patients.drop(["B100"])), overall_survival)
    assert [line.split("(")[1] for line in lines] == ['patient "B100")', 'patient "L000")']


def test_one_patient_in_two_rows_is_named(study: Study, overall_survival) -> None:
    predictions, patients = study
    twice = pd.concat([predictions, predictions.iloc[:1]]), pd.concat([patients, patients.iloc[:1]])
    lines = problems(twice, overall_survival)
    assert all("more than one row" in line and '(patient "L000")' in line for line in lines)
    assert len(lines) == 2


def test_scores_of_two_models_are_refused(study: Study, overall_survival) -> None:
    (line,) = problems(spoil_scores("model_digest", "model-2")(*study), overall_survival)
    assert line.startswith('predictions: column "model_digest": 2 models')


def test_misspelt_column_is_answered_with_the_nearest(study: Study) -> None:
    endpoints = {"overall survival": Endpoint(time="os_month", event="status")}
    lines = problems(study, endpoints, ("agee",))
    assert lines == [
        'patients: column "os_month" is missing; did you mean "os_months"?',
        'patients: column "status" is missing; it has os_months, os_event, age, mycn',
        'patients: column "agee" is missing; did you mean "age"?',
    ]


def test_column_of_the_scores_that_is_missing_is_named(study: Study, overall_survival) -> None:
    predictions, patients = study
    lines = problems((predictions.rename(columns={"score": "scores"}), patients), overall_survival)
    assert lines == ['predictions: column "score" is missing; did you mean "scores"?']


def test_no_score_and_no_endpoint_are_refused(study: Study) -> None:
    predictions, patients = study
    lines = problems((predictions.iloc[:0], patients), {})
    assert [line.split(":")[1][:12] for line in lines] == [" no row; pre", " no endpoint"]


def test_constant_covariate_is_left_to_the_models(study: Study, overall_survival) -> None:
    predictions, patients = study
    rows = join_endpoints(predictions, patients.assign(mycn=1), overall_survival, COVARIATES)
    assert (rows["mycn"] == 1).all()


def test_endpoint_nobody_has_is_named_before_any_score_exists(
    study: Study, overall_survival
) -> None:
    _, patients = study
    patients["os_event"] = float("nan")
    (line,) = outcome_problems(patients, overall_survival, COVARIATES)
    assert line.startswith('patients: endpoint "overall survival": no patient has both')


def test_outcomes_are_checked_before_any_score_exists(study: Study, overall_survival) -> None:
    _, patients = study
    assert outcome_problems(patients, overall_survival, COVARIATES) == []
    patients.loc["L003", "os_months"] = -1
    patients.loc["L004", "os_event"] = 2
    patients.loc["L005", "os_months"] = None
    lines = outcome_problems(patients, overall_survival, COVARIATES)
    assert [line.split('"')[1] for line in lines] == ["os_months", "os_event"]


@pytest.mark.parametrize("name", ["os_event", "centre"])
def test_covariate_may_not_be_the_outcome_or_a_column_of_the_scores(
    study: Study, overall_survival, name: str
) -> None:
    (line,) = problems(study, overall_survival, (name,))
    assert line.startswith(f'patients: covariate "{name}" is also ')


def test_all_problems_are_reported_at_once(study: Study, overall_survival) -> None:
    predictions, patients = spoil_scores("score_kind", "train")(*study)
    patients.loc["L003", "os_months"] = -1
    patients.loc["B100", "age"] = float("inf")
    lines = problems((predictions, patients), overall_survival)
    assert [line.split('"')[1] for line in lines] == ["score_kind", "os_months", "age"]


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="start"):
        Endpoint.model_validate({"time": "os_months", "event": "os_event", "start": "smear"})
    with pytest.raises(ValidationError, match="weeks"):
        Endpoint.model_validate({"time": "t", "event": "e", "unit": "weeks"})
    with pytest.raises(ValidationError, match="optimal"):
        SurvivalSettings.model_validate({"cutpoint": "optimal"})


def test_competing_events_are_named_by_their_codes(study: Study) -> None:
    predictions, patients = study
    patients["os_event"] = [0, 1, 2, 3] * 46 + [2]
    endpoint = Endpoint(time="os_months", event="os_event", competing=("death", "relapse"))
    rows = join_endpoints(predictions, patients, {"metastasis": endpoint}, ())
    # To every method that knows one event only, a competing one ends observation.
    assert rows["os_event"].tolist() == [0, 1, 0, 0] * 46 + [0]
    assert event_codes(rows, patients, endpoint).tolist() == [0, 1, 2, 3] * 46 + [2]
    fewer = Endpoint(time="os_months", event="os_event", competing=("death",))
    (line,) = outcome_problems(patients, {"metastasis": fewer}, ())
    assert "not 0 (censored) or 1 (event) or 2 (death)" in line


@pytest.mark.parametrize("competing", [("death", "death"), ("",)])
def test_a_competing_event_has_a_name_of_its_own(competing: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="name each competing event once"):
        Endpoint(time="t", event="e", competing=competing)
