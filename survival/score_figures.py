"""Figures of Cox models: hazard ratios of many terms, the score's curve, effects over time.

They draw tables that other modules return and compute nothing; they take axes and return them.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from survival.cox import CoxRegression
from survival.figure_style import BLUE, INK, PALE, VERMILION
from survival.forest_figures import ForestRow, ratio_figure
from survival.print_numbers import p_text, p_value
from survival.proportional_hazards import ProportionalHazards
from survival.spline import SplineEffect

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def forest_figure(regression: CoxRegression, title: str = "") -> "Figure":
    """Forest plot of one multivariable model, with patients, events and the note below."""
    rows = [
        ForestRow(
            str(line["term"]),
            hr=line["hr"],
            ci_low=line["ci_low"],
            ci_high=line["ci_high"],
            last="" if pd.isna(line["p"]) else p_value(line["p"]),
        )
        for _, line in regression.table.iterrows()
    ]
    notes = [f"{regression.n} patients, {regression.events} events"]
    notes += [regression.note] if regression.note else []
    columns = ("Term", "", "HR (95% CI)", "p")
    return ratio_figure(rows, columns, "adjusted for the other terms", title, notes)


def plot_spline(effect: SplineEffect, ax: "Axes", label: str = "Score") -> "Axes":
    """Draw the hazard ratio of the score as a curve with its 95 % band, knots marked.

    Parameters
    ----------
    effect
        Result of `survival.spline.spline_effect`.
    ax
        Axes to draw on.
    label
        Name of the score on its axis.
    """
    ax.set_xlabel(label, parse_math=False)
    ax.set_ylabel(f"Hazard ratio against {effect.reference:.3g}")
    ax.spines[["top", "right"]].set_visible(False)
    if effect.curve.empty:
        return _say(ax, effect.note)
    curve = effect.curve
    ax.set_yscale("log", base=2)
    ax.fill_between(
        curve["score"], curve["ci_low"], curve["ci_high"], color=BLUE, alpha=0.15, linewidth=0
    )
    ax.plot(curve["score"], curve["hr"], color=BLUE, linewidth=1.8)
    ax.axhline(1, color=PALE, linewidth=0.8, zorder=0)
    ax.plot(effect.reference, 1, "o", color=INK, markersize=5)
    # A wide band at the ends must not flatten the curve.
    ax.set_ylim(
        max(curve["ci_low"].min(), curve["hr"].min() / 8),
        min(curve["ci_high"].max(), curve["hr"].max() * 8),
    )
    inside = effect.knots[
        (effect.knots >= curve["score"].min()) & (effect.knots <= curve["score"].max())
    ]
    across = ax.get_xaxis_transform()
    ax.plot(inside, np.zeros(len(inside)), "|", color=INK, markersize=10, transform=across)
    ax.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    ax.set_title(
        f"association p {p_text(effect.association.p)}, "
        f"non-linearity p {p_text(effect.non_linearity.p)}",
        fontsize=9,
        loc="left",
    )
    return ax


def plot_schoenfeld(hazards: ProportionalHazards, term: str, unit: str, ax: "Axes") -> "Axes":
    """Draw how a term's log hazard ratio goes with time: scaled Schoenfeld residuals, smoothed.

    Parameters
    ----------
    hazards
        Result of `survival.proportional_hazards.proportional_hazards_test`.
    term
        Term to draw.
    unit
        Unit of time.
    ax
        Axes to draw on.
    """
    points, smooth = hazards.residuals, hazards.smooth[hazards.smooth["term"] == term]
    tests = hazards.table.set_index("term")
    chi2, p = float(tests["chi2"][term]), float(tests["p"][term])
    constant = float(points[term].mean())
    ax.plot(points["time"], points[term], "o", color=PALE, markersize=3.5, alpha=0.7)
    ax.axhline(constant, color=VERMILION, linewidth=1.2, linestyle="--", label="one hazard ratio")
    if not smooth.empty:
        ax.fill_between(
            smooth["time"],
            smooth["ci_low"],
            smooth["ci_high"],
            color=BLUE,
            alpha=0.15,
            linewidth=0,
        )
        ax.plot(smooth["time"], smooth["log_hr"], color=BLUE, linewidth=1.8, label="over time")
    # The few largest residuals would flatten the curve that the plot is for.
    low, high = np.quantile(points[term], [0.02, 0.98])
    margin = 0.1 * (high - low)
    ax.set_ylim(low - margin, high + margin)
    ax.set_xlabel(f"Time ({unit})")
    ax.set_ylabel(f"Log hazard ratio of {term}", parse_math=False)
    ax.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none", fontsize=8)
    ax.set_title(
        f"proportional hazards: chi-squared {chi2:.2f}, p {p_text(p)}",
        fontsize=9,
        loc="left",
    )
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _say(ax: "Axes", text: str) -> "Axes":
    ax.set(xticks=[], yticks=[])
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", wrap=True)
    return ax
