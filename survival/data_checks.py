"""Everything that would spoil a survival analysis, found and named before anything is fitted."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cohorts.endpoints import Endpoint, event_of_interest
from survival.column_checks import (
    covariate_findings,
    endpoint_findings,
    numeric,
    prediction_findings,
    repeated_patients,
)
from survival.cox import AMPLE_EVENTS, FEWEST_EVENTS
from survival.cox_design import NotEstimableError, SeparationError
from survival.cox_model import fit_cox
from survival.findings import Finding, findings_table, in_column
from survival.landmark import delayed_entry_notes

# Median time under observation of a clinical cohort: from one month to 30 years.
_PLAUSIBLE = {"days": (30.0, 10_957.0), "months": (1.0, 360.0), "years": (1 / 12, 30.0)}
_COLLINEAR = 1e-8


def check_data(
    patients: pd.DataFrame,
    endpoint: Endpoint,
    covariates: Sequence[str] = (),
    *,
    predictions: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Check the tables of a survival analysis, as a whole and column by column.

    Parameters
    ----------
    patients
        Indexed by patient id, with the endpoint's columns and the covariates.
    endpoint
        Its columns and the unit of time.
    covariates
        Numeric columns of the planned model, the score among them where it has one.
    predictions
        The predictions table, if there is one; scores of a training fold are refused.

    Returns
    -------
    pandas.DataFrame
        `level, table, column, n, patients, message`, errors first; empty if all is well.
        `survival.findings.refuse_errors` raises on the errors.
    """
    found = repeated_patients(patients) + endpoint_findings(patients, endpoint)
    for name in covariates:
        found += covariate_findings(patients, name)
    if predictions is not None:
        found += prediction_findings(predictions)
    found += _unit_findings(patients, endpoint)
    if not any(f.table == "patients" for f in found if f.level == "error"):
        found += _late_entry(patients, endpoint)
        found += _model_findings(patients, endpoint, covariates)
    return findings_table(found)


def _unit_findings(patients: pd.DataFrame, endpoint: Endpoint) -> list[Finding]:
    """Warn of a median time that no cohort has, and name the unit in which it would be one."""
    if endpoint.time not in patients:
        return []
    median = float(numeric(patients[endpoint.time]).median())
    low, high = _PLAUSIBLE[endpoint.unit]
    if not median > 0 or low <= median <= high:
        return []
    fitting = [unit for unit, (a, b) in _PLAUSIBLE.items() if a <= median <= b]
    guess = f"; it looks like {' or '.join(fitting)}" if fitting else ""
    says = f'a median of {median:g} "{endpoint.unit}" is no follow-up{guess}; correct the unit'
    return [in_column("warning", "patients", endpoint.time, says)]


def _late_entry(patients: pd.DataFrame, endpoint: Endpoint) -> list[Finding]:
    """Warn where late entries leave few at risk early on."""
    if endpoint.entry is None:
        return []
    event = event_of_interest(numeric(patients[endpoint.event]))
    time, entry = (numeric(patients[name]) for name in (endpoint.time, endpoint.entry))
    notes = delayed_entry_notes(time, event, entry)
    return [in_column("warning", "patients", endpoint.entry, note) for note in notes]


def _model_findings(
    patients: pd.DataFrame, endpoint: Endpoint, covariates: Sequence[str]
) -> list[Finding]:
    """Check what only shows where the columns are seen together: one model of all of them."""
    found: list[Finding] = []
    terms = pd.DataFrame(
        {name: numeric(patients[name]) for name in covariates}, index=patients.index
    )
    for name, column in terms.items():
        if column.isna().any():
            says = f"missing for {column.isna().sum()} of {len(column)}; models leave them out"
            ids = column.index[column.isna()]
            found.append(in_column("warning", "patients", str(name), says, ids))
    complete = terms.notna().all(axis=1)
    terms = terms[complete]
    event = numeric(patients[endpoint.event])[complete]
    if not event.sum():
        says = "no event among patients with all covariates; there is nothing to estimate"
        return [*found, in_column("error", "patients", endpoint.event, says)]
    if not covariates:
        return found
    unfit = _constant(terms) or _collinear(terms)
    found += unfit + _few_events(endpoint, int(event.sum()), len(covariates))
    if not unfit:
        begin = numeric(patients[endpoint.entry])[complete] if endpoint.entry else None
        time = numeric(patients[endpoint.time])[complete]
        found += _separation(time, event, terms, begin)
    return found


def _constant(terms: pd.DataFrame) -> list[Finding]:
    return [
        in_column(
            "error", "patients", str(name), f"the same for all {len(terms)} patients; leave it out"
        )
        for name, column in terms.items()
        if column.nunique() < 2
    ]


def _collinear(terms: pd.DataFrame) -> list[Finding]:
    """Name each column that is a sum of columns before it, and these."""
    standard = ((terms - terms.mean()) / terms.std()).to_numpy()
    found = []
    kept: list[int] = []
    for j, name in enumerate(terms.columns):
        before = standard[:, kept]
        shares = np.linalg.lstsq(before, standard[:, j], rcond=None)[0]
        left = standard[:, j] - before @ shares
        if left @ left > _COLLINEAR * len(terms):
            kept.append(j)
            continue
        sources = [
            f'"{terms.columns[i]}"' for i, s in zip(kept, shares, strict=True) if abs(s) > 1e-6
        ]
        says = f"follows from {' and '.join(sources)} (collinear); leave one of them out"
        found.append(in_column("error", "patients", str(name), says))
    return found


def _few_events(endpoint: Endpoint, events: int, parameters: int) -> list[Finding]:
    """Warn below ten events per parameter; Peduzzi et al. 1995, J Clin Epidemiol 48:1503."""
    each = events / parameters
    if each >= AMPLE_EVENTS:
        return []
    then = (
        f"fewer than {FEWEST_EVENTS}, no model is fitted without a penalty; take fewer covariates, "
        "or Firth's penalised likelihood or ridge"
        if each < FEWEST_EVENTS
        else f"fewer than {AMPLE_EVENTS}; take fewer covariates, or Firth's penalised likelihood "
        "or ridge"
    )
    says = f"{events} events for {parameters} covariates, {each:.1f} each, {then}"
    return [in_column("warning", "patients", endpoint.event, says)]


def _separation(
    time: "pd.Series[float]",
    event: "pd.Series[float]",
    terms: pd.DataFrame,
    entry: "pd.Series[float] | None",
) -> list[Finding]:
    try:
        fit_cox(time, event, terms, entry=entry)
    except SeparationError as reason:
        line = f"patients: {reason}; Firth's penalised likelihood takes the place of Cox's"
        return [Finding("warning", "patients", "", (), line)]
    except NotEstimableError as reason:
        return [Finding("error", "patients", "", (), f"patients: {reason}")]
    return []
