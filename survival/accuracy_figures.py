"""Accuracy of predicted survival, drawn: AUC and Brier score over time, calibration, net benefit.

Functions draw the tables of a result on the axes they are given, and return them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from survival.brier import BrierScore
from survival.decision_curve import ALL, NONE, DecisionCurve
from survival.dynamic_auc import DynamicAuc
from survival.figure_style import BLUE, COLOURS, DASHED, INK, PALE
from survival.print_numbers import interval_text
from survival.survival_calibration import SurvivalCalibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SMALL = 9


def plot_dynamic_auc(auc: DynamicAuc, unit: str, ax: "Axes") -> "Axes":
    """Draw the AUC at each estimable time with its 95% interval, and their weighted mean.

    Parameters
    ----------
    auc
        Result of `survival.dynamic_auc.dynamic_auc`.
    unit
        Unit of time, for the axis.
    ax
        Axes to draw on.
    """
    table = auc.table.dropna(subset=["auc"])
    ax.axhline(0.5, color=PALE, linewidth=0.8, linestyle=DASHED)
    _line_with_band(table, "time", "auc", ("ci_low", "ci_high"), BLUE, "AUC", ax)
    ax.set(ylim=(min(0.4, float(table["ci_low"].min())) if len(table) else 0.4, 1.005))
    ax.set_xlim(left=0)
    mean = f"mean {interval_text(auc.integrated, auc.ci_low, auc.ci_high)}"
    _corner(ax, [mean, f"censoring weights: {auc.weights} cohort"], top=False)
    _axes_text(ax, f"Time ({unit})", "AUC for the event by then")
    return ax


def plot_brier(brier: BrierScore, unit: str, ax: "Axes") -> "Axes":
    """Draw the Brier score over time with its 95% interval, against Kaplan-Meier's.

    Parameters
    ----------
    brier
        Result of `survival.brier.brier_score`.
    unit
        Unit of time, for the axis.
    ax
        Axes to draw on.
    """
    table = brier.table.dropna(subset=["brier"])
    limits = ("brier_ci_low", "brier_ci_high")
    _line_with_band(table, "time", "brier", limits, BLUE, "Score", ax)
    ax.plot(table["time"], table["null"], color=PALE, linestyle=DASHED, label="Kaplan-Meier")
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    whole = brier.integrated
    lines = [
        f"{name} {_estimate(whole, row)}"
        for name, row in {"integrated": "brier", "IPA": "ipa"}.items()
    ]
    _corner(ax, lines, top=False)
    ax.legend(loc="lower right", frameon=False, fontsize=_SMALL)
    _axes_text(ax, f"Time ({unit})", "Brier score (lower is better)")
    return ax


def plot_survival_calibration(calibration: SurvivalCalibration, unit: str, ax: "Axes") -> "Axes":
    """Draw observed against predicted risk: the smooth curve with its band, and the groups.

    Parameters
    ----------
    calibration
        Result of `survival.survival_calibration.survival_calibration`.
    unit
        Unit of time, for the axes.
    ax
        Axes to draw on.
    """
    curve, groups = calibration.curve, calibration.groups.dropna(subset=["observed"])
    ax.plot([0, 1], [0, 1], color=PALE, linewidth=0.8, linestyle=DASHED)
    _line_with_band(curve, "predicted", "observed", ("ci_low", "ci_high"), BLUE, "Curve", ax)
    low, high = groups["ci_low"], groups["ci_high"]
    known = low.notna()
    ax.vlines(groups["predicted"][known], low[known], high[known], color=INK, linewidth=1)
    ax.plot(groups["predicted"], groups["observed"], "s", color=INK, markersize=4.5)
    reach = pd.concat([curve["predicted"], curve["ci_high"], groups["predicted"], high]).max()
    top = min(1.0, 1.05 * float(reach)) if reach > 0 else 1.0
    ax.set(xlim=(0, top), ylim=(0, top), aspect="equal")
    measures = calibration.measures
    rows = [name for name in ("O:E", "slope", "ICI") if measures["value"].notna()[name]]
    _corner(ax, [f"{name} {_estimate(measures, name)}" for name in rows], top=True)
    at = f"risk by {calibration.horizon:g} {unit}"
    _axes_text(ax, f"Predicted {at}", f"Observed {at}")
    return ax


def plot_survival_decision_curve(curve: DecisionCurve, unit: str, ax: "Axes") -> "Axes":
    """Draw net benefit over thresholds, models with 95% bands, treating all, and treating none.

    Parameters
    ----------
    curve
        Result of `survival.decision_curve.survival_decision_curve`.
    unit
        Unit of time, for the axis.
    ax
        Axes to draw on.
    """
    models = [name for name in curve.table["model"].unique() if name not in (ALL, NONE)]
    for place, name in enumerate(models):
        rows = curve.table[(curve.table["model"] == name) & (curve.table["flagged"] > 0)]
        colour = COLOURS[place % len(COLOURS)]
        _line_with_band(rows, "threshold", "net_benefit", ("ci_low", "ci_high"), colour, name, ax)
    everyone = curve.table[curve.table["model"] == ALL]
    ax.plot(
        everyone["threshold"], everyone["net_benefit"], color=INK, linewidth=1, label="Treat all"
    )
    ax.axhline(0, color=PALE, linewidth=1, label="Treat none")
    best = float(curve.table["ci_high"].max())
    useful = curve.table[~curve.table["model"].isin([ALL, NONE]) & (curve.table["flagged"] > 0)]
    top = float(np.fmax(best, 0.01))  # where nobody gains, an axis still needs a height
    ax.set_ylim(-0.2 * top, 1.05 * top)
    ax.set_xlim(0, float(useful["threshold"].max()) if len(useful) else 1)
    legend = ax.legend(loc="upper right", frameon=False, fontsize=_SMALL)
    for text in legend.get_texts():
        text.set_parse_math(False)
    _axes_text(
        ax, f"Threshold: risk by {curve.horizon:g} {unit} at which one would act", "Net benefit"
    )
    return ax


def _line_with_band(
    table: pd.DataFrame,
    x: str,
    y: str,
    limits: tuple[str, str],
    colour: str,
    label: str,
    ax: "Axes",
) -> None:
    low, high = (table[name] for name in limits)
    ax.fill_between(table[x], low, high, color=colour, alpha=0.15, linewidth=0)
    marker = "o" if len(table) <= 12 else ""
    ax.plot(table[x], table[y], color=colour, linewidth=1.8, marker=marker, ms=4, label=label)


def _estimate(table: pd.DataFrame, row: str) -> str:
    return interval_text(*(table[name][row] for name in ("value", "ci_low", "ci_high")))


def _corner(ax: "Axes", lines: Sequence[str], *, top: bool) -> None:
    """Print lines in the left corner of the axes, above or below what is drawn."""
    ax.text(
        0.03,
        0.97 if top else 0.03,
        "\n".join(lines),
        transform=ax.transAxes,
        va="top" if top else "bottom",
        fontsize=_SMALL,
        color=INK,
        linespacing=1.4,
    )


def _axes_text(ax: "Axes", x: str, y: str) -> None:
    ax.set_xlabel(x, parse_math=False)
    ax.set_ylabel(y, parse_math=False)
    ax.spines[["top", "right"]].set_visible(False)
