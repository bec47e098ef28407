"""What competing events leave of the endpoint: incidence, Gray's test, hazards of every event."""

import pandas as pd

from survival.competing_analysis import competing_risks
from survival.study.plan import Plan, ticks
from survival.study.stratum import SCORE, Answer, Stratum, group_terms


def competing_events(stratum: Stratum, plan: Plan) -> Answer:
    """Describe, test and model every event, where the endpoint names competing ones."""
    if not plan.endpoint.competing:
        return Answer({})
    rows = stratum.rows
    terms = pd.concat([stratum.score, group_terms(rows, plan.groups)], axis=1)
    varying = terms.loc[:, [name == SCORE or terms[name].nunique() > 1 for name in terms]]
    at = ticks(float(rows["time"].max()), plan.endpoint.unit)
    events = (plan.name, *plan.endpoint.competing)
    outcome = rows[["time", "code", "group", "centre"]]
    found = competing_risks(outcome, events, varying, stratum.clinical, at)
    return Answer(
        {
            "incidence": found.incidence.assign(unit=plan.endpoint.unit),
            "incidence_at_risk": found.numbers_at_risk,
            "gray": found.gray,
            "competing_hazards": found.hazards,
            "kaplan_meier_overestimates": found.overestimates,
        }
    )
