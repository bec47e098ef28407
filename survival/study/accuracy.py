"""Whether predicted probabilities are right: Brier score over time, and calibration at horizons."""

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from survival.accuracy_figures import plot_brier, plot_survival_calibration
from survival.brier import brier_score
from survival.product_limit import FloatArray
from survival.study.panels import panels
from survival.study.plan import Plan, evenly
from survival.study.risk_models import APPARENT, FITTED_ON, SCORE_MODEL, RiskModel
from survival.study.stratum import Answer, Stratum
from survival.survival_calibration import SurvivalCalibration, survival_calibration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GRID = 20


def prediction_error(stratum: Stratum, plan: Plan, rng: np.random.Generator) -> Answer:
    """Score each development model's predictions at the horizons and over time up to the last."""
    at = np.union1d(evenly(plan.horizons[-1], _GRID), plan.horizons)
    tables: list[pd.DataFrame] = []
    integrated: list[pd.DataFrame] = []
    draws: dict[str, partial[Figure]] = {}
    for model in plan.models:
        usable = at[at <= model.longest]
        risk, rows = _predicted(model, stratum, usable)
        if not len(rows) or not len(usable):
            continue
        samples = plan.settings.bootstrap_samples
        found = brier_score(1 - risk, rows["time"], rows["event"], usable, rng, samples)
        known: dict[str, Any] = {"model": model.name, "n": len(rows)} | _origin(
            stratum, plan, found.method
        )
        known |= {"weights": found.weights, "samples": found.samples}
        tables.append(found.table.assign(**known))
        integrated.append(found.integrated.reset_index().assign(**known, note=found.note))
        if model.name == SCORE_MODEL:
            plot = partial(plot_brier, found, plan.endpoint.unit)
            draws["brier"] = partial(panels, [plot], plan.title(stratum))
    if not tables:
        nothing = pd.DataFrame([{"model": SCORE_MODEL, "time": math.nan, "brier": math.nan}])
        return Answer({"brier": nothing.assign(note=plan.no_model)})
    by_model = pd.concat(tables, ignore_index=True)
    leading = ["model", "time"]
    return Answer(
        {
            "brier": by_model[[*leading, *by_model.columns.drop(leading)]],
            "brier_integrated": pd.concat(integrated, ignore_index=True),
        },
        draws,
    )


def calibration(stratum: Stratum, plan: Plan, rng: np.random.Generator) -> Answer:
    """Compare the score's predicted with the observed risk at each horizon."""
    model = next((m for m in plan.models if m.name == SCORE_MODEL), None)
    if model is None:
        line = {"model": SCORE_MODEL, "horizon": math.nan, "measure": "", "value": math.nan}
        return Answer({"calibration": pd.DataFrame([line | {"note": plan.no_model}])})
    found: list[SurvivalCalibration] = []
    for horizon in plan.horizons:
        risk, rows = _predicted(model, stratum, np.array([min(horizon, model.longest)]))
        samples = plan.settings.bootstrap_samples
        outcome = (rows["time"], rows["event"])
        found.append(survival_calibration(risk[:, 0], *outcome, horizon, rng, samples=samples))

    def table(name: str) -> pd.DataFrame:
        parts = []
        for one in found:
            part: pd.DataFrame = getattr(one, name)
            part = part.reset_index() if name == "measures" else part.copy()
            part.insert(0, "model", model.name)
            part.insert(1, "horizon", one.horizon)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    notes = {one.horizon: one.note for one in found}
    measures = table("measures").assign(
        n=found[0].n,
        events=[one.events for one in found for _ in range(len(one.measures))],
        **_origin(stratum, plan, ""),
        samples=plan.settings.bootstrap_samples,
    )
    measures["method"] = table("measures")["method"]
    measures["note"] = measures["horizon"].map(notes)
    tables = {"calibration": measures, "calibration_groups": table("groups")}
    tables["calibration_curve"] = table("curve")
    plots = [partial(plot_survival_calibration, one, plan.endpoint.unit) for one in found]
    return Answer(tables, {"calibration": partial(panels, plots, plan.title(stratum), 4.8)})


def _predicted(
    model: RiskModel, stratum: Stratum, at: FloatArray
) -> tuple[FloatArray, pd.DataFrame]:
    """Risks of those who have one at each time (n, k), and their rows."""
    risk = model.risk(stratum, at)
    kept = np.flatnonzero(np.isfinite(risk).all(axis=1))
    return risk[kept], stratum.rows.iloc[kept]


def _origin(stratum: Stratum, plan: Plan, method: str) -> dict[str, str]:
    apparent = plan.development is not None and stratum.name == plan.development.name
    return {"method": method, "fitted_on": f"{FITTED_ON}; {APPARENT}" if apparent else FITTED_ON}
