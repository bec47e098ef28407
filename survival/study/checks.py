"""What a reader must know of the data before any number."""

import pandas as pd

from survival.data_checks import check_data
from survival.study.plan import Plan
from survival.study.stratum import Answer, Stratum


def data_findings(stratum: Stratum, plan: Plan) -> Answer:
    """List what is odd in the outcome, the score and the covariates of these patients."""
    terms = pd.concat([stratum.score, stratum.clinical], axis=1)
    outcome = {plan.endpoint.time: stratum.rows["time"], plan.endpoint.event: stratum.rows["code"]}
    if plan.endpoint.entry:
        outcome[plan.endpoint.entry] = stratum.rows["entry"]
    patients = terms.assign(**outcome)
    return Answer({"data_findings": check_data(patients, plan.endpoint, list(terms.columns))})
