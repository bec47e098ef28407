"""What models of classes or of an endpoint say, in the terms they are compared in.

These are the numbers that `model.json` judges them by: of classes the softmax of the logits before
any calibration, of an endpoint the log hazard. A calibration is fitted on all development patients,
and of classes it shifts who is ranked above whom; a baseline has none.
"""

import pandas as pd

from cmil.bundle import ModelFacts
from cohorts.endpoints import event_of_interest
from cohorts.errors import DataError


def outcomes_of(patients: pd.DataFrame, facts: ModelFacts) -> pd.DataFrame:
    """Give what was learnt of all patients of whom it is known.

    Parameters
    ----------
    patients
        Indexed by patient_id: `centre, split`, and `label`, or the endpoint's columns.
    facts
        Of the study's model.

    Returns
    -------
    DataFrame
        Indexed likewise: `centre, split`, and `label`, or `time, event` (1, or 0 for a censored
        patient or one with a competing event), without patients of whom one is missing.
    """
    known = patients[["centre", "split"]]
    if facts.endpoint is None:
        return known.assign(label=patients["label"]).dropna()
    event = event_of_interest(patients[facts.endpoint.event])
    return known.assign(time=patients[facts.endpoint.time], event=event).dropna()


def scores_of(predictions: pd.DataFrame, outcomes: pd.DataFrame, facts: ModelFacts) -> pd.DataFrame:
    """Give what a model says of the patients of `outcomes`, beside what is known of them.

    Parameters
    ----------
    predictions
        As `cmil.prediction.read_predictions` gives them.
    outcomes
        As `outcomes_of` gives them.
    facts
        Of the model that made the predictions.

    Returns
    -------
    DataFrame
        `patient_id, centre, split, score_kind, model_digest`; `label` and a probability
        `score_<class>` for each class, or `time, event` and `risk`.

    Raises
    ------
    DataError
        If the predictions lack a class.
    """
    told = predictions[predictions["patient_id"].isin(outcomes.index)].reset_index(drop=True)
    columns = ["patient_id", "centre", "split", "score_kind", "model_digest"]
    learnt = outcomes.drop(columns=["centre", "split"]).loc[told["patient_id"]]
    table = pd.concat([told[columns], learnt.reset_index(drop=True)], axis=1)
    if facts.endpoint is not None:
        return table.assign(risk=told["logit"])
    names = [f"score_{name}" for name in facts.classes]
    absent = [name for name in names if name not in told]
    if absent:
        raise DataError(f'the predictions have no column "{absent[0]}"; run cmil predict')
    return table.assign(**dict(zip(names, facts.calibration.undone(told[names]).T, strict=True)))
