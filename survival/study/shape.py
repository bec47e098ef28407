"""Whether the log hazard goes with the score in a straight line."""

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from survival.score_figures import plot_spline
from survival.spline import SplineEffect, spline_effect
from survival.study.panels import panels
from survival.study.plan import Plan
from survival.study.stratum import Answer, Stratum

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def score_shape(stratum: Stratum, plan: Plan) -> Answer:
    """Fit the score as a restricted cubic spline, and test whether a line would do."""
    rows = stratum.rows
    effect = spline_effect(
        rows["time"], rows["event"], rows["score"], entry=stratum.entry, strata=stratum.strata
    )
    tests = {"association": effect.association, "non-linearity": effect.non_linearity}
    known = {"n": effect.n, "events": effect.events, "stratified_by": stratum.stratified_by}
    lines = [
        {"test": name} | test._asdict() | known | {"method": effect.method, "note": effect.note}
        for name, test in tests.items()
    ]
    tables = {"spline_tests": pd.DataFrame(lines)}
    if effect.curve.empty:
        return Answer(tables)
    knots = ", ".join(f"{knot:.4g}" for knot in effect.knots)
    tables["spline"] = effect.curve.assign(reference=effect.reference, knots=knots)
    return Answer(
        tables, {"spline": lambda: panels([partial(_draw, effect, plan)], plan.title(stratum))}
    )


def _draw(effect: SplineEffect, plan: Plan, ax: "Axes") -> "Axes":
    plot_spline(effect, ax)
    for value in plan.cut.values:
        ax.axvline(value, color="#8a8a8a", linewidth=0.8, linestyle=":", zorder=0)
    return ax
