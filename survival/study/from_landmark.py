"""The groups among patients who reach a landmark: a guard against immortal time."""

import pandas as pd

from survival.cox import cox_regression
from survival.landmark import landmark_analysis
from survival.logrank import logrank_test
from survival.study.plan import Plan
from survival.study.stratum import Answer, Stratum, group_terms


def from_landmark(stratum: Stratum, plan: Plan) -> Answer:
    """Test the groups from the landmark on, and say who did not reach it and why."""
    at = plan.settings.landmark
    if at is None:
        return Answer({})
    rows = stratum.rows
    known = {"landmark": at, "unit": plan.endpoint.unit, "stratified_by": stratum.stratified_by}
    if not (rows["time"] > at).any():
        note = "not estimable: nobody is under observation after the landmark"
        return Answer({"landmark": pd.DataFrame([known | {"kept": 0, "note": note}])})
    found = landmark_analysis(rows["time"], rows["event"], rows["group"], at)
    kept = rows[found.kept]
    centres = kept["centre"] if kept["centre"].nunique() > 1 else None
    test = logrank_test(found.time, found.event, kept["group"], centres)
    model = cox_regression(found.time, found.event, group_terms(kept, plan.groups), strata=centres)
    ratio = model.table.iloc[0]
    line = known | {"n": len(rows), "kept": len(kept), "events": model.events}
    line |= {"chi2": test.chi2, "df": test.df, "p": test.p, "term": ratio["term"]}
    line |= {f"hr{suffix}": ratio[f"{name}"] for suffix, name in _RATIO.items()}
    note = "; ".join(part for part in (found.note, model.note) if part)
    return Answer(
        {
            "landmark": pd.DataFrame([line | {"note": note}]),
            "landmark_groups": found.counts.assign(landmark=at),
        }
    )


_RATIO = {"": "hr", "_ci_low": "ci_low", "_ci_high": "ci_high", "_p": "p"}
