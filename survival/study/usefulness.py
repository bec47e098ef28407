"""What the score adds to the clinical model, and what deciding by it would be worth."""

import math
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd

from survival.accuracy_figures import plot_survival_decision_curve
from survival.added_value import added_value
from survival.cox import FEWEST_EVENTS
from survival.decision_curve import DecisionCurve, survival_decision_curve
from survival.study.panels import panels
from survival.study.plan import Plan
from survival.study.risk_models import FITTED_ON
from survival.study.stratum import Answer, Stratum

# Every second hundredth: at a hundred thresholds the bootstrap takes twice as long.
_THRESHOLDS: Final = np.arange(0, 100, 2) / 100
_FITTED_HERE: Final = "both models fitted on the patients at hand, optimism corrected by bootstrap"


def score_beside_clinical(stratum: Stratum, plan: Plan, rng: np.random.Generator) -> Answer:
    """Test what the score adds to the clinical covariates in these patients.

    Both models are fitted on the stratum itself, which the table says.
    """
    clinical = stratum.clinical
    if not len(clinical.columns):
        return Answer({})
    kept = clinical.notna().all(axis=1)
    rows, terms = stratum.rows[kept], clinical[kept]
    terms = terms.loc[:, terms.nunique() > 1]
    events = int(rows["event"].sum())
    note = _unfit(rows, terms, events)
    if note:
        line = {"model": "difference", "n": len(rows), "events": events, "p": math.nan}
        return Answer({"added_value": pd.DataFrame([line | {"note": note}])})
    samples = plan.settings.bootstrap_samples
    found = added_value(terms, rows["per_sd"], rows["time"], rows["event"], rng, samples)
    known: dict[str, Any] = {
        "clinical": ", ".join(terms.columns),
        "n": found.n,
        "events": found.events,
    }
    known |= {"chi2": found.chi2, "df": found.df, "p": found.p}
    table = found.corrected.reset_index().assign(**known)
    apparent = found.apparent
    limits = (apparent.ci_low, apparent.ci_high, apparent.p) if apparent else (math.nan,) * 3
    is_difference = table["model"] == "difference"
    named = ("apparent_ci_low", "apparent_ci_high", "apparent_p")
    for name, value in zip(named, limits, strict=True):
        table[name] = np.where(is_difference, value, np.nan)
    said: dict[str, Any] = {
        "samples": found.samples,
        "failed": found.failed,
        "method": found.method,
    }
    return Answer({"added_value": table.assign(**said, fitted_on=_FITTED_HERE, note=found.note)})


def net_benefit(stratum: Stratum, plan: Plan, rng: np.random.Generator) -> Answer:
    """Draw decision curves of the development models at each horizon, on the same patients."""
    found: list[DecisionCurve] = []
    notes = []
    for horizon in plan.horizons:
        risks = {m.name: m.risk(stratum, np.array([horizon]))[:, 0] for m in plan.models}
        risks = {name: risk for name, risk in risks.items() if np.isfinite(risk).any()}
        if not risks:
            continue
        kept = np.isfinite(np.column_stack([*risks.values()])).all(axis=1)
        rows = stratum.rows[kept]
        if not len(rows) or rows["time"].max() < horizon:
            notes.append(f"nobody is followed to {horizon:g}")
            continue
        known: dict[str, Any] = {name: risk[kept] for name, risk in risks.items()}
        samples = plan.settings.bootstrap_samples
        outcome = (rows["time"], rows["event"], horizon)
        found.append(survival_decision_curve(known, *outcome, rng, _THRESHOLDS, samples))
    if not found:
        note = plan.no_model or f"not estimable: {'; '.join(notes)}"
        line = {"horizon": math.nan, "model": "", "threshold": math.nan, "net_benefit": math.nan}
        return Answer({"decision_curve": pd.DataFrame([line | {"note": note}])})
    said: dict[str, Any] = {
        "fitted_on": FITTED_ON,
        "samples": found[0].samples,
        "method": found[0].method,
    }
    tables = {
        "decision_curve": _by_horizon([one.table for one in found], found).assign(**said),
        "decision_differences": _by_horizon([one.differences for one in found], found),
    }
    plots = [partial(plot_survival_decision_curve, one, plan.endpoint.unit) for one in found]
    return Answer(tables, {"decision_curve": partial(panels, plots, plan.title(stratum))})


def _by_horizon(tables: list[pd.DataFrame], found: list[DecisionCurve]) -> pd.DataFrame:
    parts = []
    for table, one in zip(tables, found, strict=True):
        part = table.copy()
        part.insert(0, "horizon", one.horizon)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _unfit(rows: pd.DataFrame, terms: pd.DataFrame, events: int) -> str:
    parameters = len(terms.columns) + 1
    if not len(terms.columns):
        return "not estimable: no clinical covariate differs between the patients"
    if rows["per_sd"].nunique() < 2:
        return "not estimable: the score is the same for all patients"
    if events < FEWEST_EVENTS * parameters:
        return f"not estimable: {events} events for {parameters} terms, fewer than 5 each"
    return ""
