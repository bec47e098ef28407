"""How a frozen risk of an endpoint does, cohort by cohort: its order, level and error."""

import math
from collections.abc import Hashable, Iterator, Mapping
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
        One row a cohort and measure: `cohort, measure, horizon, patients, events` (with the
        event), `value, ci_low, ci_high, method, note`. `concordance` (Harrell's C, over the whole
        time); by the horizon `auc` (`survival.dynamic_auc`), `calibration_slope`, `o_e` and `ici`
        (`survival.survival_calibration`), `brier` and `ipa`, its gain over Kaplan-Meier
        (`survival.brier_score`). With fewer than 5 events nothing is estimated; with fewer than 10
        the note says that intervals are too short.

    Raises
    ------
    DataError
        If a development score is not out-of-fold.
    """
    rows: list[dict[str, object]] = []
    for cohort, patients in cohorts_of(scores):
        events = int((patients["event"] == 1).sum())
        shared = {
            "cohort": cohort,
            "horizon": horizon,
            "patients": len(patients),
            "events": events,
        }
        ordered = patients.sort_values("patient_id")  # one seed gives one table
        for measure, found in _measured(ordered, horizon, seed, events):
            rows.append({**shared, "measure": measure, **vars(found)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _measured(
    patients: pd.DataFrame, horizon: float, seed: np.random.SeedSequence, events: int
) -> Iterator[tuple[str, Estimate]]:
    names = ("concordance", "auc", *_OF_CALIBRATION.values(), "brier", "ipa")
    if events < FEWEST:
        nothing = not_estimable("", f"{events} events, fewer than {FEWEST}: not estimable")
        yield from ((name, nothing) for name in names)
        return
    doubt = f"{events} events, fewer than {FEW}: intervals are too short" if events < FEW else ""
    time, event, score = (patients[name].to_numpy(float) for name in ("time", "event", "score"))
    of_order = concordance(patients["risk"], time, event)
    limits = of_order.ci_low, of_order.ci_high
    yield "concordance", Estimate(of_order.value, *limits, "infinitesimal jackknife", doubt)
    by_then = dynamic_auc(patients["risk"], time, event, [horizon])
    row = by_then.table.to_dict("records")[0]
    yield "auc", _estimate(row, "auc", "", by_then.method, row["note"] or doubt)
    calibrated = survival_calibration(score, time, event, horizon, np.random.default_rng(seed))
    lines = calibrated.measures.to_dict("index")
    for name, ours in _OF_CALIBRATION.items():
        line = lines[name]
        yield ours, _estimate(line, "value", "", line["method"], calibrated.note or doubt)
    error = brier_score(1 - score[:, None], time, event, [horizon], np.random.default_rng(seed))
    row = error.table.to_dict("records")[0]
    for name in ("brier", "ipa"):
        yield name, _estimate(row, name, f"{name}_", error.method, row["note"] or doubt)


def _estimate(
    row: Mapping[Hashable, Any], name: str, limits: str, method: str, note: str
) -> Estimate:
    """Take value and limits from a row of another table."""
    value, low, high = (float(row[key]) for key in (name, f"{limits}ci_low", f"{limits}ci_high"))
    missing = "not estimable" if math.isnan(value) and not note else ""
    return Estimate(value, low, high, method, note or missing)
