"""Whether the score groups differ: log-rank tests, trend, pairs, restricted means."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cohorts.strata import DEVELOPMENT
from survival.curves import curves_by_group
from survival.logrank import LogRank, logrank_test, logrank_trend, pairwise_logrank
from survival.rmst import RestrictedMean, restricted_mean
from survival.rmst_figure import restricted_mean_figure
from survival.study.panels import titled
from survival.study.plan import GROUP_COLOURS, GROUP_LABELS, Plan
from survival.study.stratum import Answer, Stratum

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def group_tests(stratum: Stratum, plan: Plan) -> Answer:
    """Test the groups by log-rank; of three also for trend, and pair by pair (Holm)."""
    rows = stratum.rows
    outcome = (rows["time"], rows["event"], rows["group"])
    test = logrank_test(*outcome, stratum.strata, entry=stratum.entry)
    note = _why_not(test, rows)
    tables = {"logrank": _logrank(test, stratum, plan, note)}
    present = [group for group in plan.groups if (rows["group"] == group).any()]
    if len(plan.groups) > 2 and len(present) > 1:
        trend = logrank_trend(*outcome, present, stratum.strata, entry=stratum.entry)
        pairs = pairwise_logrank(*outcome, stratum.strata, entry=stratum.entry, correction="holm")
        named = {"stratified_by": stratum.stratified_by}
        line = {"order": " < ".join(present), "z": trend.z, "p": trend.p, "method": trend.method}
        tables["logrank_trend"] = pd.DataFrame([named | line | {"note": note}])
        tables["logrank_pairs"] = pairs.assign(**named)
    return Answer(tables)


def group_means(stratum: Stratum, plan: Plan) -> Answer:
    """Compare the groups by restricted mean survival time, which needs no proportional hazards."""
    rows = stratum.rows
    present = [group for group in plan.groups if (rows["group"] == group).any()]
    outcome = (rows["time"], rows["event"], rows["group"])
    found = restricted_mean(*outcome, tau=plan.rmst_until, reference=present[0])
    stated = "settings" if plan.settings.rmst_until else f"last horizon: {plan.horizons_by}"
    known: dict[str, Any] = {"tau": found.tau, "tau_by": stated, "unit": plan.endpoint.unit}
    return Answer(
        {
            "rmst": found.groups.assign(**known, method=found.method),
            "rmst_contrasts": found.contrasts.assign(**known, method=found.method),
        },
        {"restricted_means": lambda: _draw(found, present, plan, stratum)},
    )


def _draw(found: RestrictedMean, present: list[str], plan: Plan, stratum: Stratum) -> "Figure":
    rows = stratum.rows
    curves = curves_by_group(rows["time"], rows["event"], rows["group"])
    labels = {group: GROUP_LABELS[group] for group in present}
    colours = [GROUP_COLOURS[group] for group in present]
    figure = restricted_mean_figure(curves, found, labels, plan.endpoint.unit, colours)
    return titled(figure, plan.title(stratum))


def _logrank(test: LogRank, stratum: Stratum, plan: Plan, note: str) -> pd.DataFrame:
    line: dict[str, object] = {"stratified_by": stratum.stratified_by}
    by_group = test.groups.set_index("group").reindex(list(plan.groups), fill_value=0)
    for name, group in by_group.iterrows():
        line |= {
            f"n_{name}": int(group["n"]),
            f"observed_{name}": int(group["observed"]),
            f"expected_{name}": float(group["expected"]),
        }
    line |= {"chi2": test.chi2, "df": test.df, "p": test.p}
    if plan.cut.p_corrected is not None:
        # Only where the search took place does it need a correction.
        searched = stratum.name == DEVELOPMENT and plan.cut.endpoint == plan.name
        line |= {"p_corrected": plan.cut.p_corrected if searched else np.nan}
        by_permutation = plan.cut.p_permutation if searched else None
        line |= {"p_permutation": np.nan if by_permutation is None else by_permutation}
    return pd.DataFrame([line | {"note": note}])


def _why_not(test: LogRank, rows: pd.DataFrame) -> str:
    if len(test.groups) < 2:
        return f"not estimable: every patient is in the {test.groups['group'].iloc[0]} group"
    if not rows["event"].any():
        return "not estimable: no event"
    if np.isnan(test.chi2):
        return "not estimable: the groups are never at risk together when an event occurs"
    return ""
