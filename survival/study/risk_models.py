"""Models that turn score and covariates into a probability, fitted on the development cohort only.

A score orders patients; calibration, Brier score and net benefit need a probability of the event by
a time. It comes from Cox models of the development patients' out-of-fold scores, applied unchanged
to everyone else.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from survival.cox import FEWEST_EVENTS
from survival.product_limit import FloatArray
from survival.study.stratum import Stratum
from survival.weighted_cox import WeightedCox, fit_weighted_cox, risk_by

SCORE_MODEL, CLINICAL_MODEL, JOINT_MODEL = "score", "clinical", "score + clinical"
FITTED_ON: Final = "Cox model fitted on development out-of-fold scores"
APPARENT: Final = "apparent: these are the patients the model was fitted on"


@dataclass(frozen=True)
class RiskModel:
    """A Cox model of development patients.

    Attributes
    ----------
    name
        "score", "clinical" or "score + clinical".
    columns, levels
        Its terms, and the known risk groups of the development patients.
    constant
        Columns that were the same for all development patients, and their value: a patient with
        another one has no prediction.
    fit
        The fit.
    longest
        Longest time under observation in the development cohort; nothing is predicted beyond.
    """

    name: str
    columns: tuple[str, ...]
    levels: tuple[str, ...]
    constant: "pd.Series[float]"
    fit: WeightedCox
    longest: float

    def risk(self, stratum: Stratum, horizons: FloatArray) -> FloatArray:
        """Predict the probability of the event by each horizon (n, k); NaN where it cannot."""
        x = _terms(stratum, self.levels)
        known = x[list(self.columns)].notna().all(axis=1)
        known &= (x[self.constant.index] == self.constant).all(axis=1)
        of_model = x[list(self.columns)].fillna(0.0).to_numpy(np.float64)
        risks = [risk_by(self.fit, of_model, float(moment))[0] for moment in horizons]
        usable = known.to_numpy()[:, None] & (horizons <= self.longest)
        return np.where(usable, np.column_stack(risks), np.nan)


def fit_risk_models(development: Stratum) -> tuple[RiskModel, ...]:
    """Fit what the development patients allow: the score, and with covariates the clinical models.

    The score's model is of all of them, those with covariates are of the patients who have every
    covariate; a model with fewer than five events a term is left out.
    """
    x = _terms(development, development.risk_levels)
    complete = x[x.notna().all(axis=1)]
    varying = [str(c) for c in complete if complete[c].nunique() > 1 and c != "per_sd"]
    constant = complete.drop(columns=[*varying, "per_sd"])
    models = [_fit(SCORE_MODEL, ["per_sd"], x, pd.Series(dtype=np.float64), development)]
    if varying and len(complete):
        held = constant.iloc[0]
        models += [
            _fit(name, columns, complete, held, development)
            for name, columns in {
                CLINICAL_MODEL: varying,
                JOINT_MODEL: ["per_sd", *varying],
            }.items()
        ]
    return tuple(model for model in models if model is not None)


def _fit(
    name: str,
    columns: list[str],
    x: pd.DataFrame,
    held: "pd.Series[float]",
    development: Stratum,
) -> RiskModel | None:
    rows = development.rows.loc[x.index]
    time, event = rows["time"].to_numpy(np.float64), rows["event"].to_numpy(np.float64)
    if event.sum() < FEWEST_EVENTS * len(columns) or (x[columns].nunique() < 2).any():
        return None
    design = x[columns].to_numpy(np.float64)
    fit = fit_weighted_cox(design, time, event, np.ones((1, len(time))))
    if not np.isfinite(fit.coefficients).all():
        return None
    levels = development.risk_levels if name != SCORE_MODEL else ()
    return RiskModel(name, tuple(columns), levels, held, fit, float(time.max()))


def _terms(stratum: Stratum, levels: tuple[str, ...]) -> pd.DataFrame:
    return pd.concat([stratum.rows[["per_sd"]], stratum.clinical_with(levels)], axis=1)
