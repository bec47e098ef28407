"""Whether hazards are proportional, and what the score does over time where they are not."""

import math
from functools import partial
from typing import Final

import numpy as np
import pandas as pd

from survival.cox_model import CoxModel
from survival.proportional_hazards import proportional_hazards_test
from survival.score_figures import plot_schoenfeld
from survival.study.panels import panels
from survival.study.plan import Plan
from survival.study.ratios import fit
from survival.study.stratum import SCORE, Answer, Stratum
from survival.time_varying import time_varying_effect

LEVEL: Final = 0.05
_FAILED = "hazards not proportional: see time_varying.csv, and rmst.csv, which needs no such model"


def proportional_hazards(stratum: Stratum, plan: Plan) -> Answer:
    """Test the model of the score and the clinical covariates, term by term and as a whole.

    Where the score or the whole model fails at 5%, the score's hazard ratio is let change with
    time.
    """
    found = fit(stratum, stratum.score, stratum.clinical)
    if found.model is None:
        reason = found.note or "not estimable: no maximum likelihood estimate"
        line = {"term": "GLOBAL", "chi2": math.nan, "df": 0, "p": math.nan}
        empty = pd.DataFrame([line | {"method": "", "note": reason}])
        return Answer({"proportional_hazards": empty})
    test = proportional_hazards_test(found.model)
    failed = test.table["p"] < LEVEL
    table = test.table.assign(method=test.method, note=np.where(failed, _FAILED, ""))
    tables = {"proportional_hazards": table}
    if failed[test.table["term"].isin([SCORE, "GLOBAL"])].any():
        tables["time_varying"] = _over_time(found.model, plan)
    plot = partial(plot_schoenfeld, test, SCORE, plan.endpoint.unit)
    return Answer(tables, {"schoenfeld": lambda: panels([plot], plan.title(stratum))})


def _over_time(model: CoxModel, plan: Plan) -> pd.DataFrame:
    effect = time_varying_effect(model, SCORE)
    table = effect.table.assign(unit=plan.endpoint.unit)
    if table.empty:
        table = pd.DataFrame([{"period": "", "time": math.nan, "hr": math.nan}])
    return table.assign(term=SCORE, p_change=effect.p, method=effect.method, note=effect.note)
