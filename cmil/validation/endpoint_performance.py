"""How a frozen risk of an endpoint does, cohort by cohort: its order, level and error."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from cmil.concordance import concordance
from cmil.validation.discrimination import FEW, FEWEST
from cmil.validation.estimate import Estimate, not_estimable
from cmil.validation.performance import cohorts_of
from survival import brier_score, dynamic_auc, survival_calibration

COLUMNS = (
    *("cohort", "measure", "horizon", "patients", "events"),
    *("value", "ci_low", "ci_high", "method", "note"),
)
_OF_CALIBRATION = {"slope": "calibration_slope", "O:E": "o_e", "ICI": "ici"}
MEASURES = ("concordance", "auc", *_OF_CALIBRATION.values(), "brier", "ipa")
_OF_THE_WHOLE_TIME = ("concordance", "calibration_slope")


def endpoint_performance(
    scores: pd.DataFrame, horizon: float, seed: np.random.SeedSequence
) -> pd.DataFrame:
    """Measure a risk against what happened, with 95% intervals.

    Parameters
    ----------
    scores
        One row a patient: `patient_id, centre, split, score_kind`; `time`, `event` (1, or 0 for a
        censored patient); `risk`, by which patients are ranked; `score`, the probability of the
        event by the horizon.
    horizon
        In the unit of `time`.
    seed
        Of the bootstraps; of each cohort the same.

    Returns
    -------
    DataFrame
        One row a cohort and measure: `cohort, measure, horizon, patients, events`, `value,
        ci_low, ci_high, method, note`. Over the whole time `concordance` (Harrell's C) and
        `calibration_slope`; by the horizon `auc` (`survival.dynamic_auc`), `o_e` and `ici`
        (`survival.survival_calibration`), `brier` and `ipa`, its gain over Kaplan-Meier
        (`survival.brier_score`). `events` are those within that time: with fewer than 5 nothing is
        estimated; with fewer than 10 the note says that intervals are too short.

    Raises
    ------
    DataError
        If a development score is not out-of-fold.
    """
    rows: list[dict[str, object]] = []
    for cohort, patients in cohorts_of(scores):
        seen = patients["event"] == 1
        whole, by_then = int(seen.sum()), int((seen & (patients["time"] <= horizon)).sum())
        found = _measured(patients.sort_values("patient_id"), horizon, seed)
        for measure in MEASURES:
            events = whole if measure in _OF_THE_WHOLE_TIME else by_then
            estimate = found[measure] if events >= FEWEST else not_estimable("", _few(events))
            shared = {"cohort": cohort, "measure": measure, "horizon": horizon}
            counts = {"patients": len(patients), "events": events}
            rows.append({**shared, **counts, **vars(_with_doubt(estimate, events))})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _measured(
    patients: pd.DataFrame, horizon: float, seed: np.random.SeedSequence
) -> dict[str, Estimate]:
    """Give every measure, however few the events; the patients in an order of their own."""
    time, event, score = (patients[name].to_numpy(float) for name in ("time", "event", "score"))
    order = concordance(patients["risk"], time, event)
    limits = order.ci_low, order.ci_high
    found = {"concordance": Estimate(order.value, *limits, "infinitesimal jackknife, logit scale")}
    by_then = dynamic_auc(patients["risk"], time, event, [horizon])
    row = by_then.table.to_dict("records")[0]
    found["auc"] = _estimate(row, "auc", "", by_then.method, row["note"])
    calibrated = survival_calibration(score, time, event, horizon, np.random.default_rng(seed))
    lines = calibrated.measures.to_dict("index")
    for name, ours in _OF_CALIBRATION.items():
        line = lines[name]
        # The note is of the curve; of the others it is one only where they have no value.
        of_it = name == "ICI" or math.isnan(line["value"])
        note = calibrated.note if of_it else ""
        found[ours] = _estimate(line, "value", "", line["method"], note)
    error = brier_score(1 - score[:, None], time, event, [horizon], np.random.default_rng(seed))
    row = error.table.to_dict("records")[0]
    for name in ("brier", "ipa"):
        found[name] = _estimate(row, name, f"{name}_", error.method, row["note"])
    return found


def _few(events: int) -> str:
    return f"{events} events, fewer than {FEWEST}: not estimable"


def _with_doubt(found: Estimate, events: int) -> Estimate:
    """Say what makes an interval too short: few events, or nobody out of order."""
    doubts = [found.note]
    if not math.isnan(found.value):
        if events < FEW:
            doubts.append(f"{events} events, fewer than {FEW}: intervals are too short")
        if found.ci_low == found.ci_high:
            doubts.append("no spread: interval without width")
    return replace(found, note="; ".join(doubt for doubt in doubts if doubt))


def _estimate(
    row: Mapping[Hashable, Any], name: str, limits: str, method: str, note: str
) -> Estimate:
    """Take value and limits from a row of another table."""
    value, low, high = (float(row[key]) for key in (name, f"{limits}ci_low", f"{limits}ci_high"))
    missing = "not estimable" if math.isnan(value) and not note else ""
    return Estimate(value, low, high, method, note or missing)
