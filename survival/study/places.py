"""Whether the score's hazard ratio is the same in every centre and in every subgroup."""

import pandas as pd

from survival.centres import centre_hazard_ratios
from survival.forest_figures import centre_forest_figure, subgroup_forest_figure
from survival.study.plan import Plan
from survival.study.stratum import SCORE, Answer, Stratum
from survival.subgroups import subgroup_hazard_ratios


def centres(stratum: Stratum, plan: Plan) -> Answer:
    """Pool the centres' hazard ratios by random effects, and without each of them."""
    if not stratum.several_centres:
        return Answer({})
    rows = stratum.rows
    found = centre_hazard_ratios(
        rows["time"], rows["event"], stratum.score, rows["centre"], stratum.entry
    )
    return Answer(
        {
            "centres": found.centres.assign(term=SCORE),
            "centres_pooled": found.pooled.assign(term=SCORE),
            "centres_left_out": found.left_out.assign(term=SCORE),
        },
        {"centres": lambda: centre_forest_figure(found, SCORE, plan.title(stratum))},
    )


def subgroups(stratum: Stratum, plan: Plan) -> Answer:
    """Fit the score in every level of every subgroup, and test whether levels differ."""
    if not len(stratum.subgroups.columns):
        return Answer({})
    rows = stratum.rows
    score = rows["per_sd"].rename(SCORE)
    found = subgroup_hazard_ratios(
        rows["time"], rows["event"], score, stratum.subgroups, stratum.strata, stratum.entry
    )
    note = pd.Series(found.interactions["note"], dtype=object).replace("", found.note)
    return Answer(
        {
            "subgroups": found.levels.assign(term=SCORE, stratified_by=stratum.stratified_by),
            "subgroup_interactions": found.interactions.assign(note=note),
        },
        {"subgroups": lambda: subgroup_forest_figure(found, SCORE, plan.title(stratum))},
    )
