"""What a model is to predict of each patient."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cmil.settings import MilSettings
from cohorts.endpoints import Endpoint, event_of_interest
from cohorts.errors import DataError, SettingsError


def truth_of(
    patients: pd.DataFrame, settings: MilSettings, endpoint: Endpoint | None = None
) -> pd.DataFrame:
    """Give the label, or time and event, of development patients.

    Parameters
    ----------
    patients
        Indexed by patient_id, with `label` or the columns of the endpoint.
    endpoint
        Of task "survival".

    Returns
    -------
    DataFrame
        `label`, or `time` and `event`. The last column is what folds are stratified by.

    Raises
    ------
    DataError
        If a patient has no label, or no time or event; if no event lies before the horizon, or no
        patient was observed so long.
    SettingsError
        If the endpoint is not given.
    """
    if settings.task != "survival":
        if "label" not in patients:
            raise SettingsError("training needs a label; name its column in [cohort] label")
        return patients[["label"]]
    if endpoint is None:
        raise SettingsError(
            f'[mil] endpoint "{settings.endpoint}" is not one of [cohort.endpoints]; add it there'
        )
    event = event_of_interest(patients[endpoint.event])
    truth = pd.DataFrame({"time": patients[endpoint.time], "event": event})
    unknown = truth.index[truth.isna().any(axis=1)]
    if len(unknown):
        raise DataError(
            f'development patient "{unknown[0]}" ({len(unknown)} in all) has no "{endpoint.time}" '
            f'or "{endpoint.event}"; add it, or take the patient out of the development cohort'
        )
    early = truth["event"].eq(1) & truth["time"].le(settings.horizon)
    if not early.any() or truth["time"].max() < settings.horizon:
        raise DataError(
            f"horizon {settings.horizon:g} {endpoint.unit}: {int(early.sum())} development "
            f"patients have the event by then, and the longest was observed for "
            f"{truth['time'].max():g}; choose a horizon with events before it and patients after"
        )
    return truth


def truth_values(truth: pd.DataFrame) -> NDArray[np.float64]:
    """Give the truth as (n,) labels or (n, 2) times and events."""
    values = truth.to_numpy(dtype=np.float64)
    return values[:, 0] if values.shape[1] == 1 else values
