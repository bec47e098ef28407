"""How well the score orders patients: concordance, AUC at the horizons, explained variation."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from survival.accuracy_figures import plot_dynamic_auc
from survival.concordance import Censoring, Concordance, harrell_c, uno_c
from survival.dynamic_auc import dynamic_auc
from survival.explained_variation import explained_variation
from survival.study.panels import panels
from survival.study.plan import Plan, evenly
from survival.study.stratum import Answer, Stratum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_AUC_TIMES = 12


def score_discrimination(stratum: Stratum, plan: Plan) -> Answer:
    """Measure Harrell's and Uno's C, the AUC at the horizons, R2_D and Nagelkerke's R2."""
    rows, until = stratum.rows, plan.horizons[-1]
    outcome = (rows["time"], rows["event"])
    ordered = (harrell_c(rows["score"], *outcome), uno_c(rows["score"], *outcome, Censoring(until)))
    auc = dynamic_auc(rows["score"], *outcome, plan.horizons)
    over_all: dict[str, Any] = {"integrated": auc.integrated, "std_err": auc.std_err}
    over_all |= {"ci_low": auc.ci_low, "ci_high": auc.ci_high, "weights": auc.weights}
    said: dict[str, Any] = {"method": auc.method, "note": auc.note}
    return Answer(
        {
            "concordance": pd.DataFrame([_line(found) for found in ordered]),
            "dynamic_auc": auc.table.assign(unit=plan.endpoint.unit, weights=auc.weights),
            "dynamic_auc_mean": pd.DataFrame([over_all | said]),
            "explained_variation": pd.DataFrame(
                [vars(explained_variation(rows["score"], *outcome))]
            ),
        },
        {"dynamic_auc": lambda: _draw(stratum, plan)},
    )


def _line(found: Concordance) -> dict[str, object]:
    facts = dict(vars(found))
    # Harrell's C has no end but the last event.
    return facts | {"tau": found.tau if np.isfinite(found.tau) else np.nan}


def _draw(stratum: Stratum, plan: Plan) -> "Figure":
    """Draw the AUC over time up to the last horizon."""
    rows = stratum.rows
    times = np.union1d(evenly(plan.horizons[-1], _AUC_TIMES), plan.horizons)
    auc = dynamic_auc(rows["score"], rows["time"], rows["event"], times)
    return panels([partial(plot_dynamic_auc, auc, plan.endpoint.unit)], plan.title(stratum))
