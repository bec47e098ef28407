"""What hazard ratios the patients at hand could have shown."""

import numpy as np
import pandas as pd

from survival.power import study_power
from survival.study.plan import Plan
from survival.study.stratum import Answer, Stratum


def power_at_hand(stratum: Stratum, plan: Plan) -> Answer:
    """Give power for hazard ratios that might matter, and the smallest found in 80% of studies.

    With covariates, the share of the score's variance that they explain is taken off.
    """
    rows, events = stratum.rows, int(stratum.rows["event"].sum())
    high = float((rows["group"] == plan.groups[-1]).mean())
    if events == 0:
        line = {"comparison": "score, per SD", "events": 0, "note": "not estimable: no event"}
        return Answer({"power": pd.DataFrame([line])})
    shared = _explained(stratum)
    table = study_power(events, high, r_squared=shared)
    return Answer({"power": table.assign(n=len(rows), high_share=high, r_squared=shared)})


def _explained(stratum: Stratum) -> float:
    """R2 of the score on the clinical covariates, by least squares; 0 without any."""
    known = stratum.clinical.notna().all(axis=1)
    x = stratum.clinical[known].to_numpy(np.float64)
    y = stratum.rows.loc[known, "per_sd"].to_numpy(np.float64)
    if not x.shape[1] or len(y) <= x.shape[1] + 1 or np.ptp(y) == 0:
        return 0.0
    design = np.column_stack([np.ones(len(y)), x])
    left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    return float(np.clip(1 - left @ left / np.sum((y - y.mean()) ** 2), 0, 0.99))
