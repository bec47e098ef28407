"""How the score groups fare: curves, who is at risk, medians and other quantiles."""

import pandas as pd

from survival.curves import (
    curves_by_group,
    kaplan_meier,
    median_follow_up,
    median_time,
    numbers_at_risk,
    quantile_times,
    survival_at,
)
from survival.study.plan import Plan, ticks
from survival.study.stratum import Answer, Stratum

_QUANTILES = (0.25, 0.5, 0.75)


def group_curves(stratum: Stratum, plan: Plan) -> Answer:
    """Describe each group: Kaplan-Meier, numbers at risk, medians, quantiles, at the horizons."""
    rows, unit, interval = stratum.rows, plan.endpoint.unit, plan.settings.interval
    entry = stratum.entry
    curves = curves_by_group(
        rows["time"], rows["event"], rows["group"], entry=entry, interval=interval
    )
    at = ticks(float(rows["time"].max()), unit)
    at_risk = numbers_at_risk(rows["time"], rows["group"], at, event=rows["event"], entry=entry)
    present = [group for group in plan.groups if (curves["group"] == group).any()]
    of = {group: curves[curves["group"] == group] for group in present}
    quantiles = [quantile_times(of[g], _QUANTILES).assign(group=g) for g in present]
    read = [survival_at(of[g], plan.horizons).assign(group=g) for g in present]
    return Answer(
        {
            "kaplan_meier": curves.assign(unit=unit),
            "numbers_at_risk": at_risk,
            "medians": _medians(stratum, plan),
            "quantiles": _group_first(pd.concat(quantiles)).assign(unit=unit),
            "survival_at": _group_first(pd.concat(read)).assign(unit=unit, interval=interval),
        }
    )


def _group_first(table: pd.DataFrame) -> pd.DataFrame:
    return table[["group", *table.columns.drop("group")]]


def _medians(stratum: Stratum, plan: Plan) -> pd.DataFrame:
    rows = stratum.rows
    groups = {"all": rows} | {
        group: rows[rows["group"] == group] for group in sorted(rows["group"].unique())
    }
    lines = []
    for group, members in groups.items():
        time, event = members["time"], members["event"]
        entry = None if stratum.entry is None else stratum.entry[members.index]
        curve = kaplan_meier(time, event, entry=entry, interval=plan.settings.interval)
        survival, follow_up = median_time(curve), median_follow_up(time, event, entry=entry)
        counted = {"n": len(members), "events": int(event.sum()), "unit": plan.endpoint.unit}
        followed = {f"follow_up_{name}": value for name, value in follow_up._asdict().items()}
        lines.append({"group": group} | counted | survival._asdict() | followed)
    return pd.DataFrame(lines)
